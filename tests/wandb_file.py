"""Reads the file of an offline wandb run: what `wandb sync` would send.

The file is a header and a log of protocol buffers in blocks of 32 KiB, each piece with a checksum, a length and a type:
the LevelDB log format.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, FULL, LAST = 32768, 1, 4
PATIENCE = 60.0  # seconds


def records(run_folder: Path) -> list[Record]:
    """The records of a folder `offline-run-*`, in the order they were written.

    wandb's own process may still be writing when a run has been finished: the record that ends the run is waited for.
    """
    (file,) = run_folder.glob("run-*.wandb")
    until = monotonic() + PATIENCE
    found = list(_parsed(file.read_bytes()))
    while not any(record.WhichOneof("record_type") == "exit" for record in found) and monotonic() < until:
        sleep(0.05)
        found = list(_parsed(file.read_bytes()))
    return found


def _parsed(content: bytes) -> Iterator[Record]:
    assert content[:4] in (b":W&B", b"")
    position, pieces = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        if position + 7 + length > len(content):
            return  # being written
        pieces += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(pieces)
            yield record
            pieces = b""


def run_id(run_folder: Path) -> str:
    """The id that the run has on the server."""
    return next(record.run.run_id for record in records(run_folder) if record.WhichOneof("record_type") == "run")


def metrics(run_folder: Path) -> list[dict]:
    """Rows that the run logged."""
    logged = (record.history.item for record in records(run_folder) if record.WhichOneof("record_type") == "history")
    return [_as_dict(items) for items in logged]


def config(run_folder: Path) -> dict:
    """The run's configuration, as its records build it up."""
    merged = {}
    for record in records(run_folder):
        kind = record.WhichOneof("record_type")
        merged |= _as_dict({"config": record.config.update, "run": record.run.config.update}.get(kind, ()))
    return merged


def _as_dict(items) -> dict:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
