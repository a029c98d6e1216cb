"""Which folder a run writes to: the same command always finds the same place, and no run overwrites another."""

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from longrange.errors import CheckpointError
from longrange.overrides import BOOKKEEPING, without

RECORD = "result.json"  # of a finished run, in its folder

_BEFORE_A_RUN = {".hydra", "train.log", ".lock"}  # what is in its folder before it trains


def run_folder(outputs: Path, task: str, layer: str, seed: int, overrides: list[str], *, latest: bool) -> Path:
    """`outputs/<task>/<layer>/<hash of the overrides>-s<seed>`, with `.2`, `.3`, ... for repeated runs.

    Args:
        outputs: folder of all runs.
        task: name of the task.
        layer: name of the model.
        seed: the run's seed.
        overrides: the command line's overrides, in any order.
        latest: take the existing folder of this command that `newest` chooses; otherwise the first one that does not
            exist.
    Raises:
        CheckpointError: `latest` and this command has never run.
    """
    first = outputs / task / layer / f"{overrides_hash(overrides)}-s{seed}"
    existing, candidate = [], first
    while candidate.exists():
        existing.append(candidate)
        candidate = first.with_name(f"{first.name}.{len(existing) + 1}")
    if not latest:
        return candidate
    if not existing:
        raise CheckpointError(
            f"resume=last: this command has not run yet, {first} does not exist; leave resume=last out"
        )
    return newest(existing)


def newest(folders: Sequence[Path]) -> Path:
    """The folder of a command with which to go on: the last one, or one before it that was interrupted.

    A start that was refused, or ended before its first checkpoint, leaves a folder too: it hides no checkpoint.

    Args:
        folders: of one command, at least one, the oldest first.
    """
    interrupted = [folder for folder in folders if _has_checkpoint(folder)][-1:]
    return next((folder for folder in interrupted if not (folder / RECORD).exists()), folders[-1])


def _has_checkpoint(folder: Path) -> bool:
    return any(folder.glob("**/checkpoints/*.ckpt"))


def remove_unused(folder: Path, outermost: Path) -> None:
    """Delete a folder in which nothing has been trained yet, and those above it that are empty then.

    Args:
        folder: of a run that was refused; it stays if another process has taken it over.
        outermost: of those above it, the last that may be deleted.
    """
    from longrange.training.durable import sole_writer  # slow to import

    with suppress(CheckpointError, OSError), sole_writer(folder):
        if {path.name for path in folder.iterdir()} <= _BEFORE_A_RUN:
            shutil.rmtree(folder, ignore_errors=True)
    for above in folder.parents:
        if above.is_relative_to(outermost):
            with suppress(OSError):
                above.rmdir()


def overrides_hash(overrides: list[str]) -> str:
    """Eight hexadecimal digits that tell one set of overrides from another, whatever their order.

    What changes no result is passed over, and the seed, which a folder's name tells apart.
    """
    relevant = sorted(without(overrides, BOOKKEEPING | {"seed"}))
    return hashlib.sha256("\n".join(relevant).encode()).hexdigest()[:8]


@functools.cache
def scratch_folder() -> tempfile.TemporaryDirectory:
    """Where a process that is not the first of its training leaves what Hydra writes; gone when it ends.

    It cannot look for the run's folder: by now the first process may have made it, or it may not.
    """
    return tempfile.TemporaryDirectory(prefix="longrange-")
