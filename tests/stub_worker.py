"""A worker whose steps do nothing but write its name; run as a program, by what tests the conversation with workers."""

import os
import sys
import time
from pathlib import Path

# As the programs for another interpreter find it: longrange itself takes seconds to import.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src" / "longrange" / "peers" / "alone"))

from protocol import Prepared, serve


def prepare(order):
    """A step that writes `name` to the file `log`, and fails or hangs when told to."""
    sys.stdout.write("a library that prints\n")

    def step():
        with open(order.get("log", os.devnull), "a") as log:
            log.write(str(order["name"]))
        if order.get("fails"):
            raise ValueError("no such step")
        if order.get("hangs"):
            time.sleep(600)

    place = {"device": "cpu", "cpu": "a cpu", "threads": 1, "commit": "0", "date": "2026-11-28", "longrange": "0"}
    return Prepared(step, lambda: 7, {**place, "versions": "stub 1", "n_parameters": 3})


if __name__ == "__main__":
    serve(prepare)
