"""Checksums of files that were written here, kept beside them: what is read later is what was written then.

A list is a text file with a line `<checksum>  <name>` for each file, as `xxh128sum` writes and checks them. XXH3 finds
every accident, though not what is meant to deceive. It is as fast as memory, so whole caches are compared at every
start; what that has read need not come from the disk again.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path

import xxhash

from longrange.data.progress import byte_bar
from longrange.data.reasons import reason
from longrange.errors import DataError
from longrange.whole_files import flush, write_whole

LIST = "checksums.xxh128"
ENDING = ".xxh128"

_CHUNK = 1 << 20
_SHOWN = 2 * 10**9  # bytes from which reading them takes long enough for a bar
_LINE = re.compile(r"([0-9a-f]{32})  ([^\0]+)")
_INTACT: set[tuple] = set()  # states of folders that this process has read


def write_list(path: Path, checksums: Mapping[str, str]) -> None:
    """Write a list and bring it to the disk.

    Args:
        path: of the list.
        checksums: by name, relative to the list's folder.
    """
    lines = "".join(f"{checksum}  {name}\n" for name, checksum in checksums.items())
    write_whole(path, lines.encode(errors="surrogateescape"))


def seal(folder: Path) -> None:
    """Bring all files of a folder to the disk and list their checksums in it.

    Args:
        folder: holds files only.
    """
    files = sorted(folder.iterdir())
    for file in files:
        flush(file)
    write_list(folder / LIST, {file.name: checksum(file) for file in files})


def fault(folder: Path) -> str | None:
    """What is wrong with a sealed folder; None where it holds what was sealed. A process reads unchanged files once.

    Args:
        folder: may be absent.
    """
    try:
        listed = _read(folder / LIST)
        files = {name: folder / name for name in (LIST, *listed)}
        state = tuple((file, *_state(file)) for file in files.values())
        if unknown := {file.name for file in folder.iterdir() if not file.name.startswith(".")} - files.keys():
            return f"{min(unknown)} has no checksum"
        if state not in _INTACT and (damaged := _different({files[name]: listed[name] for name in listed})):
            return f"{damaged.name} is damaged"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError) as error:
        return f"cannot be read ({reason(error)})"
    _INTACT.add(state)
    return None


def check(folder: Path, chosen: Iterable[Path], mend: str = "get it again") -> None:
    """Compare files with what was downloaded, unpacked or generated here; files that came otherwise are in no list.

    Args:
        folder: of the lists.
        chosen: files and folders, in `folder` or below it.
        mend: what to do about a file that differs.
    Raises:
        DataError: one is missing or differs; names it.
    """
    parts = {path.relative_to(folder).parts for path in chosen}
    for path in sorted(folder.glob(f"*{ENDING}")):
        try:
            listed = {folder / name: expected for name, expected in _read(path).items() if _among(parts, name)}
            damaged = _different(listed)
        except FileNotFoundError as error:
            raise DataError(
                f"{_shown(error.filename, folder)}: missing, though {path.name} lists it; {mend}"
            ) from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read or compared ({reason(error)}); mend or remove it") from error
        if damaged:
            raise DataError(
                f"{_shown(damaged, folder)}: has changed since it was downloaded, unpacked or generated; {mend}, "
                f"or remove {path} to take it as it is"
            )


def checksum(path: Path, show: Callable[[int], None] | None = None) -> str:
    """XXH3 of a file, 32 hexadecimal digits.

    Args:
        path: the file.
        show: is called with the bytes read so far.
    """
    hashed, done = xxhash.xxh3_128(), 0
    with path.open("rb", buffering=0) as file:
        piece = memoryview(bytearray(min(os.fstat(file.fileno()).st_size + 1, _CHUNK)))
        while size := file.readinto(piece):
            hashed.update(piece[:size])
            done += size
            if show:
                show(done)
    return hashed.hexdigest()


def _read(path: Path) -> dict[str, str]:
    """Checksums by name."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    matches = [_LINE.fullmatch(line) for line in lines[:-1]]
    if lines[-1] or not matches or not all(matches):
        raise ValueError(f"{path.name} is no list of checksums")
    found = {match[2]: match[1] for match in matches}
    if len(found) < len(matches) or any(name.startswith("/") or ".." in name.split("/") for name in found):
        raise ValueError(f"{path.name} lists a file twice, or one elsewhere")
    return found


def _among(chosen: set[tuple[str, ...]], name: str) -> bool:
    """Whether a file is chosen or in a chosen folder."""
    parts = Path(name).parts
    return any(parts[:end] in chosen for end in range(len(parts) + 1))


def _shown(path: Path | str, folder: Path) -> str:
    """A path for people: what a list calls a file may be anything."""
    return f"{folder}/{reason(Path(path).relative_to(folder))}"


def _state(file: Path) -> tuple[int, int, int]:
    """What changes when a file is written to; no command sets this time back, as some do that of writing."""
    found = file.stat()
    return found.st_size, found.st_ctime_ns, found.st_ino


def _different(expected: Mapping[Path, str]) -> Path | None:
    """The first file that has another checksum; a bar is shown where reading takes long."""
    total, done = sum(file.stat().st_size for file in expected), 0
    with byte_bar("comparing checksums", total) if total > _SHOWN else nullcontext() as show:
        for file, known in expected.items():
            if checksum(file, show and (lambda size, before=done: show(before + size))) != known:
                return file
            done += file.stat().st_size
    return None
