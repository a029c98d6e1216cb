"""What a long measurement has found so far, kept until it ends: interrupted, it goes on where it stopped."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from longrange.provenance import commit, hardware, versions
from longrange.whole_files import write_whole

_UNKNOWN = "-dirty", "unknown"  # how a commit ends that does not say which code ran


class Findings:
    """Findings by name, in a file that is written after each.

    Args:
        path: of the file.
        of: what they depend on besides their names, in JSON's terms; a file of anything else counts as none.
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
def findings(folder: Path, cfg: DictConfig) -> Iterator[Findings]:
    """Findings of one command, until what is made of them is written: their file is left where that did not happen.

    Each configuration has a file of its own. What another machine, version or commit has found, or code that was not
    committed, is measured anew.

    Args:
        folder: of the file.
        cfg: the whole configuration.
    """
    where = {"commit": commit(), "versions": versions(), **hardware(), "threads": torch.get_num_threads()}
    settings = json.dumps(OmegaConf.to_container(cfg, resolve=True), default=str)
    path = folder / f"unfinished-{hashlib.sha256(settings.encode()).hexdigest()[:8]}.json"
    kept = Findings(path, {**where, "cfg": settings})
    if kept.found:
        sys.stderr.write(f"{path}: goes on after {len(kept.found)} measurements of an interrupted run\n")
    yield kept
    path.unlink(missing_ok=True)


def _left(path: Path, of: dict[str, Any]) -> dict[str, Any]:
    """What an interrupted run of the same left."""
    try:
        left = json.loads(path.read_text())
        same = left["of"] == of and not of["commit"].endswith(_UNKNOWN)
        return dict(left["found"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
