"""What the page says of one run: facts, curves, confusion matrix, hyperparameters, files."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from longrange.results.report import words
from longrange.results.report.charts import Chart, Line, chart
from longrange.results.report.entries import Entry
from longrange.results.report.overview import anchor, points

_FILES = (
    "result.json",
    ".hydra/config.yaml",
    ".hydra/overrides.yaml",
    "metrics.csv",
    "train.log",
    "learning_curve.png",
    "model.safetensors",
    "pretrain/metrics.csv",
)
_WRITTEN_OUT = 12  # up to so many classes, a confusion matrix shows its counts


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix ready to be written.

    Attributes:
        classes: names.
        rows: of each class the counts, their shares of the class in tenths (0 to 10), and the share that was right.
        written_out: whether the counts are shown, not only their shades.
    """

    classes: Sequence[str]
    rows: Sequence[tuple[Sequence[tuple[int, int]], str]]
    written_out: bool


@dataclass(frozen=True)
class Single:
    """A run in full.

    Attributes:
        anchor: its place in the page.
        title: task and model.
        folder: from the outputs folder on.
        score: of the test split.
        state: of a run that has not finished.
        facts: (what, value).
        charts: loss, metric, learning rate, the loss of pretraining.
        confusion: of the test split.
        settings: one line each.
        files: (name, relative address).
        notes: what of it could not be read.
    """

    anchor: str
    title: str
    folder: str
    score: str
    state: str
    facts: Sequence[tuple[str, str]]
    charts: Sequence[Chart]
    confusion: Confusion | None
    settings: Sequence[str]
    files: Sequence[tuple[str, str]]
    notes: Sequence[str]


def single(entry: Entry, page: Path) -> Single:
    """A run in full.

    Args:
        entry: the run.
        page: file that links to the run's files.
    """
    score = words.score(entry.score("test"), entry["metric"])
    return Single(
        anchor=anchor(entry),
        title=f"{entry['task']}, {entry['model']}",
        folder=entry.name,
        score=f"test {entry['metric']} {score}" if score else "",
        state="" if entry.finished else "unfinished",
        facts=[(what, value) for what, value in _facts(entry) if value],
        charts=_charts(entry),
        confusion=_confusion(entry),
        settings=[f"{name}: {value}" for name, value in entry.settings.items()],
        files=[(name, _address(entry.folder / name, page)) for name in _FILES if (entry.folder / name).is_file()],
        notes=entry.notes,
    )


def _facts(entry: Entry) -> list[tuple[str, str]]:
    metric, best, versions = entry["metric"], entry["best_epoch"], entry["versions"] or {}
    scores = [(split, words.score(entry.score(split), metric)) for split in ("test", "val", "train")]
    memory = entry["peak_memory_bytes"]
    return [
        (metric, ", ".join(f"{split} {score}" for split, score in scores if score)),
        ("baseline", words.score(entry["baseline"], metric)),
        ("selected epoch", "" if best is None else f"{best + 1} of {entry['epochs'] or '?'}"),
        ("seed", "" if entry["seed"] is None else str(entry["seed"])),
        ("protocol", entry["protocol"] or ""),
        ("experiment", entry["experiment"] or ""),
        ("pretraining", _pretraining(entry)),
        ("command", shlex.join(["python", "scripts/train.py", *entry.overrides]) if entry.overrides else ""),
        ("time in training", words.duration(entry["wall_s"])),
        ("samples/s", words.count(entry["samples_per_s"])),
        ("peak memory", "" if memory is None else f"{memory / 2**20:,.0f} MiB"),
        ("parameters", words.count(entry["n_parameters"])),
        ("device", words.device(entry["hardware"], entry["config"])),
        ("kernels, precision", ", ".join(filter(None, [entry["backend"], entry["precision"]]))),
        ("commit", words.commit(entry["commit"], entry["dirty"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("finished", words.moment(entry["finished"])),
        ("resumed from", entry["resumed_from"] or ""),
    ]


def _pretraining(entry: Entry) -> str:
    stage = entry["pretraining"] or {}
    epochs = stage.get("epochs")
    return " for ".join(filter(None, [entry["pretrain"], f"{epochs} epochs" if epochs else None]))


def _charts(entry: Entry) -> list[Chart]:
    metric, best = entry["metric"], entry["best_epoch"]
    drawn = []
    for name in dict.fromkeys((metric, "loss")):
        lines = [Line(split, split, points(entry.history, f"{split}/{name}")) for split in ("train", "val")]
        marks = [point for point in lines[1].points if best is not None and point[0] == best + 1]
        level = entry["baseline"] if name == metric else None
        mark = marks[0] if marks else None
        drawn.append(chart(name, lines, percent=name == "accuracy", level=level, mark=mark))
    drawn.append(chart("learning rate", [Line("lr", "val", points(entry.history, "lr"))]))
    stages = [Line(name, name, points(entry.pretraining, f"pretrain/{name}/loss")) for name in ("train", "val")]
    drawn.append(chart("loss of pretraining", stages))
    return [each for each in drawn if each]


def _confusion(entry: Entry) -> Confusion | None:
    found = entry["confusion"]
    if not found or not found["classes"]:
        return None
    rows = []
    for place, counts in enumerate(found["counts"]):
        total = sum(counts)
        cells = [(count, round(10 * count / total) if total else 0) for count in counts]
        rows.append((cells, f"{100 * counts[place] / total:.1f}%" if total else ""))
    return Confusion(found["classes"], rows, len(rows) <= _WRITTEN_OUT)


def _address(file: Path, page: Path) -> str:
    """Relative, so that page and runs can be moved together."""
    return quote(Path(os.path.relpath(file, page.parent)).as_posix(), errors="surrogateescape")
