"""Which folder a run writes to: the same command always finds the same place, and no run overwrites another."""

import functools
import hashlib
import re
import tempfile
from pathlib import Path

from longrange.errors import CheckpointError

# What a run logs, where and when it writes and what it resumes change no result; the seed has a place of its own.
_NOT_HASHED = re.compile(r"^[+~]*(seed|resume|save_every_s|logger|callbacks|paths|launcher)([.=@]|$)")


def run_folder(outputs: Path, task: str, layer: str, seed: int, overrides: list[str], *, latest: bool) -> Path:
    """`outputs/<task>/<layer>/<hash of the overrides>-s<seed>`, with `.2`, `.3`, ... for repeated runs.

    Args:
        outputs: folder of all runs.
        task: name of the task.
        layer: name of the model.
        seed: the run's seed.
        overrides: the command line's overrides, in any order.
        latest: take the newest existing folder of this command; otherwise the first one that does not exist.
    Raises:
        CheckpointError: `latest` and this command has never run.
    """
    first = outputs / task / layer / f"{overrides_hash(overrides)}-s{seed}"
    existing, candidate, number = None, first, 1
    while candidate.exists():
        existing, number = candidate, number + 1
        candidate = first.with_name(f"{first.name}.{number}")
    if not latest:
        return candidate
    if existing is None:
        raise CheckpointError(
            f"resume=last: this command has not run yet, {first} does not exist; leave resume=last out"
        )
    return existing


def overrides_hash(overrides: list[str]) -> str:
    """Eight hexadecimal digits that tell one set of overrides from another, whatever their order."""
    relevant = sorted(override for override in overrides if not _NOT_HASHED.match(override))
    return hashlib.sha256("\n".join(relevant).encode()).hexdigest()[:8]


@functools.cache
def scratch_folder() -> tempfile.TemporaryDirectory:
    """Where a process that is not the first of its training leaves what Hydra writes; gone when it ends.

    It cannot look for the run's folder: by now the first process may have made it, or it may not.
    """
    return tempfile.TemporaryDirectory(prefix="longrange-")
