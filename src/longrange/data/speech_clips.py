"""Speech Commands clips on disk: which there are, which split their publisher put them in, and their samples."""

import io
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import soundfile

from longrange.data.progress import tracked
from longrange.data.reasons import reason
from longrange.errors import DataError

log = logging.getLogger(__name__)

RATE = 16_000
SAMPLES = 16_000
ARCHIVE_NAME = "speech_commands_v0.02.tar.gz"
# In the order of the published labels, which trained models depend on.
WORDS = (
    "bed", "cat", "down", "five", "forward", "go", "house", "left", "marvin", "no", "on", "right", "sheila", "tree",
    "up", "visual", "yes", "backward", "bird", "dog", "eight", "follow", "four", "happy", "learn", "nine", "off", "one",
    "seven", "six", "stop", "three", "two", "wow", "zero",
)  # fmt: skip
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}

_AGAIN = f"unpack {ARCHIVE_NAME} again"
_BLOCK, _THREADS = 256, 4
_LARGEST = 10**6  # bytes of a clip; the published ones have 32,044


class Clips(NamedTuple):
    """Clips of a folder.

    Attributes:
        names: "<word>/<file>.wav", by word in label order, then by file name.
        targets: label of each, (n,) int64.
    """

    names: np.ndarray
    targets: np.ndarray


def find_clips(folder: Path, words: Sequence[str]) -> Clips:
    """All clips of some words.

    Args:
        folder: of the word folders.
        words: in label order.
    Raises:
        DataError: a word has no folder, or no clip in it.
    """
    files = [sorted((folder / word).glob("*.wav")) for word in words]
    missing = [word for word, found in zip(words, files, strict=True) if not found]
    if missing:
        raise DataError(f"{folder}: no clips of {', '.join(missing)}; {_AGAIN}")
    names = [f"{file.parent.name}/{file.name}" for found in files for file in found]
    return Clips(np.array(names), np.repeat(np.arange(len(words)), [len(found) for found in files]))


def official_split(folder: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Which clips are in which split, as the publisher's lists say; no speaker is in two of them.

    Args:
        folder: of the two lists.
        names: as from `find_clips`.
    Returns:
        Indices of the clips of "train", "val" and "test", ascending.
    Raises:
        DataError: a list is missing, or names a clip that is not there or has been listed already.
    """
    place = {name: index for index, name in enumerate(names)}
    part = np.full(len(names), "train", dtype="U5")
    for split, file in LISTS.items():
        for line, name in enumerate(_lines(folder / file), 1):
            if name not in place:
                raise DataError(f"{folder / file}, line {line}: there is no clip {name[:80]!r}; {_AGAIN}")
            if part[place[name]] != "train":
                raise DataError(f"{folder / file}, line {line}: {name} has been listed before; {_AGAIN}")
            part[place[name]] = split
    return {split: np.flatnonzero(part == split) for split in ("train", *LISTS)}


def clip_lengths(folder: Path, names: Sequence[str]) -> np.ndarray:
    """Samples of every clip, (n,) int64.

    Raises:
        DataError: as in `read_clip`.
    """
    return np.array([len(clip) for block in _blocks(folder, names, "measuring clips") for clip in block])


def read_clips(folder: Path, names: Sequence[str], what: str) -> Iterator[np.ndarray]:
    """Samples of clips, a block of them at a time, shorter ones filled up with zeros.

    Args:
        folder: what the names are relative to.
        names: as from `find_clips`.
        what: words before the progress bar.
    Yields:
        (n_i, 16000) int16.
    Raises:
        DataError: as in `read_clip`.
    """
    for block in _blocks(folder, names, what):
        samples = np.zeros((len(block), SAMPLES), np.int16)
        for row, clip in zip(samples, block, strict=True):
            row[: len(clip)] = clip
        yield samples


def read_clip(path: Path) -> np.ndarray:
    """Samples of one clip, (n,) int16 with n from 1 to 16,000.

    Raises:
        DataError: the file cannot be read, is damaged or cut off, or is not 16 kHz, one channel, 16 bits, one second.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: larger than any clip of a second; {_AGAIN}")
        data = path.read_bytes()
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            found = (file.format, file.samplerate, file.channels, file.subtype)
            # Of another format, a small file may hold hours.
            samples = file.read(SAMPLES + 1, dtype="int16")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: damaged or not a WAV file ({reason(error.error_string)}); {_AGAIN}") from error
    if found != ("WAV", RATE, 1, "PCM_16"):
        kind, rate, channels, subtype = found
        raise DataError(
            f"{path}: is {kind} {subtype} with {channels} channel{'s' * (channels > 1)} at {rate} Hz, not WAV PCM_16 "
            f"with 1 channel at {RATE} Hz; {_AGAIN}"
        )
    # libsndfile gives what there is of a file that was cut off; its header still says how much there was.
    declared = int.from_bytes(data[4:8], "little") + 8
    if declared > len(data):
        raise DataError(f"{path}: is cut off, {len(data)} of {declared} bytes; {_AGAIN}")
    if not 0 < len(samples) <= SAMPLES:
        raise DataError(f"{path}: does not hold 1 to {SAMPLES} samples; {_AGAIN}")
    return samples


def _blocks(folder: Path, names: Sequence[str], what: str) -> Iterator[list[np.ndarray]]:
    began = perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in tracked(range(0, len(names), _BLOCK), what):
            yield list(pool.map(read_clip, (folder / name for name in names[start : start + _BLOCK])))
    log.info("%s: %d clips, %.0f per second", what, len(names), len(names) / (perf_counter() - began))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', 'not text')}); {_AGAIN}") from error
