"""Made-up runs and a small table, for the tests of tables."""

from pathlib import Path
from typing import Any

from longrange.results.runs import Run
from longrange.results.table import Table

CONFIG = {
    "title": "Two tasks",
    "metric": "accuracy",
    "failure": 50.0,
    "columns": {
        "listops": {"title": "ListOps", "task": "listops"},
        "text": {"title": "Text", "task": "text", "protocol": "paper"},
    },
    "rows": {
        "s5": {
            "title": "S5",
            "model": "s5",
            "source": "a paper",
            "n": 3,
            "published": {"listops": [62.0, 0.2], "text": {"value": 90.0, "note": "read aloud", "n": 1}},
        },
        "s4": {"title": "S4", "model": "s4", "ours": ["text"]},
        "peer": {"title": "A & B_c", "source": "a paper", "published": {"listops": 40.0, "text": "failed"}},
    },
}


def made_up_run(**facts: Any) -> Run:
    """A run that fills a cell of the small table."""
    plain = {
        "experiment": "listops/s5",
        "pretrain": None,
        "seed": 0,
        "protocol": "heldout",
        "metric": "accuracy",
        "test": 0.61,
        "baseline": 0.18,
        "hours": 2.0,
        "gpus": 1,
        "device": "GPU",
        "commit": "0123456789ab",
        "dirty": False,
        "finished": "2026-01-02",
        "changes": (),
        "resumed": False,
        "smoke": False,
        "origin": Path("results/runs.csv"),
    }
    return Run(**plain | facts)


def small_table() -> Table:
    """Two tasks, two models of ours and a peer."""
    return Table.from_config("small", CONFIG)
