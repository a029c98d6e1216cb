"""What a visit to another machine takes home, and what the next one finds there: a flat folder of a few files."""

import shutil
import tarfile
from pathlib import Path

from longrange.data import archives
from longrange.data.files import whole_folder
from longrange.training.checkpoint import BEST, LAST
from longrange.whole_files import write_whole

MEASURED = "measured.tar.gz"
KEPT = ("profile", "processes", "peers", "runs.csv")  # of results/: what a visit adds to

# Not result.json again: below the folder of runs it would be a second run.
_OF_A_RUN = {
    BEST: Path("checkpoints", BEST),
    LAST: Path("checkpoints", LAST),
    "metrics.csv": Path("metrics.csv"),
    "run.json": Path("result.json"),
}


def unpack_run(carried: Path, run: Path) -> bool:
    """Put what a visit before has left of a training into its folder, where a training with `resume=auto` finds it.

    The caller holds a lock, here and for `unpack_measured`, so that no other visit does the same.

    Args:
        carried: the folder that was taken home.
        run: of the training.
    Returns:
        Whether there was a checkpoint.
    Raises:
        DataError: the folder cannot be written.
    """
    if not (carried / LAST).exists():
        return False
    with whole_folder(run) as folder:
        for name, place in _OF_A_RUN.items():
            if (carried / name).exists():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(carried / name, folder / place)
    return True


def unpack_measured(carried: Path, work: Path, known: Path | None) -> None:
    """Begin with the results of the visit before, else with those that are known; nothing where work has begun.

    Args:
        carried: the folder that was taken home.
        work: folder of results/ and logs/.
        known: results/ of the repository; None to begin with nothing.
    Raises:
        DataError: the archive of the visit before is damaged.
    """
    if (work / "results").exists():
        return
    if (carried / MEASURED).exists():
        archives.unpack(carried / MEASURED, work)
    for name in KEPT if known and not (work / "results").exists() else ():
        (work / "results").mkdir(parents=True, exist_ok=True)
        if (known / name).is_dir():
            shutil.copytree(known / name, work / "results" / name)
        elif (known / name).exists():
            shutil.copyfile(known / name, work / "results" / name)


def pack(out: Path, run: Path | None, work: Path, most_bytes: int) -> list[str]:
    """Gather what to take home: of the training its checkpoints, curve and record; an archive of what was measured.

    Args:
        out: the folder, made if it is not there; its files are replaced, each whole, best before last.
        run: of the training; None where it has not begun.
        work: folder of results/ and logs/.
        most_bytes: larger files are left out.
    Returns:
        What was left out, a line each.
    """
    out.mkdir(parents=True, exist_ok=True)
    archive = work / MEASURED
    with tarfile.open(archive, "w:gz") as file:
        for name in ("results", "logs"):
            if (work / name).exists():
                file.add(work / name, arcname=name)
    found = [(archive, MEASURED), *((run / place, name) for name, place in _OF_A_RUN.items() if run)]
    left = []
    for source, name in found:
        if source.exists() and source.stat().st_size > most_bytes:
            left.append(f"{source}: more than {most_bytes / 2**20:.0f} MiB, left where it is")
        elif source.exists():
            write_whole(out / name, source.read_bytes())
    return left
