"""The runs under the outputs folder, finished or not, and what there cannot be read as one."""

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from longrange.results.report.fields import checked, known, number
from longrange.results.report.settings import settings
from longrange.results.run_folder import RECORD

METRICS, CONFIG = "metrics.csv", ".hydra/config.yaml"
_NO_RUNS_BELOW = {"checkpoints", "wandb", "tensorboard", "pretrain", ".hydra"}  # in a run's folder
_SEED = re.compile(r".*-s(\d{1,18})(\.\d+)?")  # of a run's folder

Rows = list[dict[str, float]]


@dataclass(frozen=True)
class Unreadable:
    """A file or folder that cannot be shown.

    Attributes:
        path: where it lies.
        reason: in one line.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Entry:
    """A run as its folder tells it; `entry["seed"]` is a field of its record.

    Attributes:
        folder: the run's own.
        name: of the folder, from the outputs folder on.
        finished: whether it has a record.
        fields: see `fields.checked`; of an unfinished run, as far as they are known.
        settings: its hyperparameters, see `longrange.results.report.settings`.
        history: one row per finished epoch, e.g. {"epoch": 0, "train/loss": 2.3, ...}.
        pretraining: the same of the stage before, e.g. {"epoch": 0, "pretrain/val/loss": 2.3, ...}.
        notes: what of it could not be read.
    """

    folder: Path
    name: str
    finished: bool
    fields: dict[str, Any]
    settings: dict[str, str]
    history: Rows
    pretraining: Rows
    notes: tuple[str, ...]

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value of the run's metric is a better one."""
        return self["metric"] != "accuracy"

    @property
    def overrides(self) -> list[str]:
        """What the command line said."""
        name = self["config"].get("name")
        found = name.get("overrides") if isinstance(name, dict) else None
        return [str(override) for override in found] if isinstance(found, list) else []

    def score(self, split: str) -> float | None:
        """The metric on a split at the selected epoch."""
        return self["metrics"].get(split, {}).get(self["metric"])


def find(outputs: Path) -> tuple[list[Entry], list[Unreadable]]:
    """Every run in a folder, at any depth.

    Args:
        outputs: where there is no such folder, there are no runs.
    Returns:
        The runs: by task, the best first, unfinished ones last; and what could not be read.
    """
    entries, unreadable = [], []
    for folder, names in _folders(outputs, unreadable):
        try:
            if RECORD in names:
                entries.append(_finished(folder, outputs))
            elif METRICS in names or (folder / CONFIG).is_file():
                entries.append(_unfinished(folder, outputs))
        except (OSError, ValueError, RecursionError) as error:
            unreadable.append(Unreadable(folder / RECORD, reason(error)))
    return sorted(entries, key=_rank), unreadable


def reason(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, RecursionError):
        return "nested too deeply"
    kind = {json.JSONDecodeError: "no JSON: ", UnicodeDecodeError: "no text: "}.get(type(error), "")
    return f"{kind}{' '.join(str(error).split())}"


def _folders(outputs: Path, unreadable: list[Unreadable]) -> Iterator[tuple[Path, set[str]]]:
    """Each folder and the names in it; folders that a run made for itself are left out."""

    def refused(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # there is none yet, or it has been deleted meanwhile
            unreadable.append(Unreadable(Path(error.filename), reason(error)))

    for folder, subfolders, files in os.walk(outputs, onerror=refused):
        names = {*files, *subfolders}
        if {RECORD, METRICS, ".hydra"} & names:
            subfolders[:] = [name for name in subfolders if name not in _NO_RUNS_BELOW]
        yield Path(folder), names


def _rank(entry: Entry) -> tuple:
    score = entry.score("test")
    sign = 1 if entry.lower_is_better else -1
    return entry["task"], entry["metric"], not entry.finished, score is None, sign * (score or 0.0), entry.name


def _finished(folder: Path, outputs: Path) -> Entry:
    fields = checked(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    return _entry(folder, outputs, True, fields, *_curves(folder))


def _unfinished(folder: Path, outputs: Path) -> Entry:
    """A run that is going on, was stopped or has failed: known by its folder's name and its configuration."""
    history, pretraining, notes = _curves(folder)
    config = {}
    if (folder / CONFIG).is_file():
        try:
            config = _config(folder / CONFIG)
        except Exception as error:  # YAML and OmegaConf raise many types for a damaged file
            notes.append(f"{CONFIG}: {reason(error)}")
    task, model = ["", folder.parent.name, *folder.relative_to(outputs).parts][-3:-1]
    seed = _SEED.fullmatch(folder.name)
    fields = known(
        task=task or folder.parent.name,
        model=model,
        seed=int(seed[1]) if seed else None,
        metric="rmse" if any("val/rmse" in row for row in history) else "accuracy",
        metrics={},
        config=config,
    )
    return _entry(folder, outputs, False, fields, history, pretraining, notes)


def _entry(
    folder: Path,
    outputs: Path,
    finished: bool,
    fields: dict[str, Any],
    history: Rows,
    pretraining: Rows,
    notes: list[str],
) -> Entry:
    name = folder.relative_to(outputs).as_posix()
    return Entry(folder, name, finished, fields, settings(fields["config"]), history, pretraining, tuple(notes))


def _config(path: Path) -> dict[str, Any]:
    """The configuration as Hydra wrote it, before it was resolved: what only Hydra knows is left out."""
    cfg = OmegaConf.load(path)
    cfg.name = {"overrides": OmegaConf.to_container(OmegaConf.load(path.with_name("overrides.yaml")))}
    OmegaConf.update(cfg, "paths.run_dir", ".", force_add=True)
    return OmegaConf.to_container(cfg, resolve=True)


def _curves(folder: Path) -> tuple[Rows, Rows, list[str]]:
    """Epochs of the training, epochs of the stage before it, and what could not be read."""
    found, notes = [], []
    for name in (METRICS, f"pretrain/{METRICS}"):
        rows: Rows = []
        try:
            with (folder / name).open(newline="", encoding="utf-8") as file:
                rows = [_numbers(row) for row in csv.DictReader(file)]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, csv.Error) as error:
            notes.append(f"{name}: {reason(error)}")
        found.append(rows)
    return *found, notes


def _numbers(row: dict[str, str]) -> dict[str, float]:
    """A row's finite numbers, by name.

    Raises:
        ValueError: it has no epoch.
    """
    values = {name: number(text) for name, text in row.items() if isinstance(name, str)}
    if values.get("epoch") is None:
        raise ValueError("a row has no epoch")
    return {name: value for name, value in values.items() if value is not None}
