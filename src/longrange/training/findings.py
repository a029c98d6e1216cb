"""What a long measurement has found so far, kept until it ends: interrupted, it goes on where it stopped."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from longrange.provenance import code_commit, hardware, versions
from longrange.whole_files import write_whole

_UNKNOWN = "-dirty", "unknown"  # how a commit ends that does not say which code ran


class Findings:
    """Findings by name, in a file that is written after each.

    Attributes:
        found: JSON values by name.
    """

    def __init__(self, path: Path, of: dict[str, Any]):
        self.path, self.of = path, of
        self.found: dict[str, Any] = _left(path, of)

    def find(self, name: str, measure: Callable[[], Any]) -> Any:
        """What was found under this name, or is measured now.

        Args:
            name: of the finding.
            measure: returns it, as plain lists, dictionaries and numbers.
        """
        if name not in self.found:
            self.found[name] = measure()
            write_whole(self.path, json.dumps({"of": self.of, "found": self.found}).encode())
        return self.found[name]


@contextmanager
def findings(path: Path, cfg: DictConfig) -> Iterator[Findings]:
    """Findings of one command; their file is there while it runs, and after it where it did not end.

    Those of another configuration, machine, version or commit, or of code that is not committed, are measured anew.

    Args:
        path: of the file.
        cfg: the whole configuration.
    """
    where = {"commit": code_commit(), "versions": versions(), **hardware(), "threads": torch.get_num_threads()}
    kept = Findings(path, {**where, "cfg": OmegaConf.to_container(cfg, resolve=True)})
    if kept.found:
        sys.stderr.write(f"{path}: goes on after {len(kept.found)} measurements of an interrupted run\n")
    yield kept
    path.unlink(missing_ok=True)


def _left(path: Path, of: dict[str, Any]) -> dict[str, Any]:
    """What an interrupted run of the same left."""
    try:
        left = json.loads(path.read_text())
        same = left["of"] == json.loads(json.dumps(of)) and not of["commit"].endswith(_UNKNOWN)
        return dict(left["found"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
