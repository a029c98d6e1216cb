"""Speech Commands: which word is spoken in a clip of one second, sampled 16,000 times (or as MFCC frames).

Source: Warden (arXiv 1804.03209), version 0.02, CC BY 4.0: 105,829 clips of 35 words by 2,618 speakers.

* SC35: all words, the publisher's split by speakers, 84,843 / 9,981 / 11,005; short clips are filled up with zeros.
* SC10: ten command words without the short clips, 34,975; a random split, 70 / 15 / 15% of every word. (The published
  code splits in the order in which a file system happens to list the clips, so nobody's split is anybody else's.)

Samples are normalised as in the S4 and S5 code: each time step by its own mean and deviation over the training clips.
That code divides the samples by 2**15 twice before it adds 1e-5 to the deviation, so its "normalised" inputs are far
below unit variance; kept, because published learning rates belong to it. MFCC are taken from samples in [-1, 1], where
a second division would leave nothing above the logarithm's offset, and normalised by coefficient.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from longrange.data.archives import ensure_unpacked
from longrange.data.arrays import ArrayDataset, ensure_arrays, open_arrays
from longrange.data.cache import cache_folder
from longrange.data.checksums import check
from longrange.data.fetch import Source
from longrange.data.mfcc import HOP, N_MFCC
from longrange.data.module import SequenceDataModule, Split
from longrange.data.normalise import Normalised, present
from longrange.data.speech_clips import ARCHIVE_NAME, COMMANDS, LISTS, RATE, SAMPLES, WORDS
from longrange.data.speech_encoding import SPLITS, STATISTICS, Encoding
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

ARCHIVE = Source(
    url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    name=ARCHIVE_NAME,
    size=2_428_923_189,
    checksum="sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
)
FOLDER = "speech_commands_v0.02"

_FRAMES = 1 + SAMPLES // HOP
_GUARD = {"raw": 1e-5 * 2**30, "mfcc": 1e-5}  # in the units of what is stored; the published code scales by 2**-30


class SpeechCommands(SequenceDataModule):
    """Speech Commands, downloaded where it is absent.

    Args:
        data_dir: folder of the archive, of the word folders it unpacks to, or of `speech_commands_v0.02` with these.
        cache_dir: folder of the prepared data; `data_dir/cache` where None.
        words: 35 (all) or 10 (the commands).
        features: "raw" samples, or "mfcc": 161 frames of 20 coefficients.
        sample_rate: in Hz, of which 16,000, that of the clips, is a multiple. At 8,000 every second sample is left out,
            without a low-pass; a model trained at 16,000 takes that with rate 2, as `longrange.training.evaluate` does.
        dropped: percent of the steps of every clip that are taken away at random; a further channel says which.
        download: get the archive where there is nothing.
        name: the task's name in its spec.
        options: batch size and loader options, see `SequenceDataModule`.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        words: Literal[10, 35] = 35,
        features: Literal["raw", "mfcc"] = "raw",
        sample_rate: int = RATE,
        dropped: float = 0.0,
        download: bool = True,
        name: str = "sc35",
        **options,
    ):
        super().__init__(**options)
        _check(words, features, sample_rate, dropped)
        self.data_dir = Path(data_dir).expanduser()
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else self.data_dir / "cache"
        self.classes = WORDS if words == 35 else COMMANDS
        self.features, self.sample_rate, self.dropped = features, sample_rate, dropped
        self._every = RATE // sample_rate  # of how many samples the first is kept
        self.download, self.name = download, name

    @property
    def spec(self) -> TaskSpec:
        """One channel of samples or 20 of coefficients in, 35 or 10 classes out."""
        channels, steps = (1, SAMPLES // self._every) if self.features == "raw" else (N_MFCC, _FRAMES)
        return TaskSpec(self.name, "continuous", channels + (self.dropped > 0), len(self.classes), steps)

    @property
    def sources(self) -> list[Source]:
        """The published archive."""
        return [ARCHIVE]

    def present(self) -> bool:
        """Whether the clips are there, unpacked."""
        return all(path.exists() for path in self._paths)

    def prepare_data(self) -> None:
        """Download and unpack the archive, and read the clips, as far as that has not been done.

        Raises:
            DataError: a file cannot be had, is damaged or missing; a place cannot be written.
        """
        members = [*WORDS, *LISTS.values()]
        ensure_unpacked(ARCHIVE, self.data_dir, self._unpacked, members, download=self.download)
        encoding = cache(self._encoding)
        ensure_arrays(self._cache, (*SPLITS, STATISTICS), lambda split: encoding().encode(split))

    def split(self, name: Split) -> ArrayDataset:
        """The clips of one split, memory-mapped.

        Raises:
            DataError: the data has not been prepared.
        """
        statistics = open_arrays(self._cache, STATISTICS, torch.from_numpy, self.name).inputs
        decode = Normalised(statistics, _GUARD[self.features], self._every, masked=self.dropped > 0)
        return open_arrays(self._cache, name, decode, self.name)

    def preview(self, split: Split, indices: Sequence[int]) -> list[tuple[str, Any, str]]:
        """Clips for people: "wave", samples in [-1, 1] and their rate; MFCC as "image", a column each frame."""
        data = self.split(split)
        show = self._wave if self.features == "raw" else _picture
        return [(*show(data.inputs[i]), self.classes[data.targets[i]]) for i in indices]

    @property
    def _folder(self) -> Path:
        inner = self.data_dir / FOLDER
        return inner if inner.is_dir() else self.data_dir

    @property
    def _paths(self) -> list[Path]:
        lists = LISTS.values() if self.classes is WORDS else ()
        return [self._folder / name for name in (*self.classes, *lists)]

    def _unpacked(self) -> bool:
        """Whether an archive has been unpacked here; if a part of it is missing now, reading says which."""
        return any(path.exists() for path in self._paths)

    @property
    def _cache(self) -> Path:
        missing = [path.name for path in self._paths if not path.exists()]
        if missing:
            raise DataError(
                f"{self._folder}: no {', '.join(missing)}; remove what is left of the clips and run "
                f"scripts/prepare_data.py data={self.name}"
            )
        options = {"features": self.features, "dropped": self.dropped}
        return cache_folder(self.cache_dir, self.name, self._paths, options)

    def _encoding(self) -> Encoding:
        check(self.data_dir, self._paths)
        return Encoding(self._folder, self.classes, self.features, self.dropped / 100, self.name)

    def _wave(self, samples: np.ndarray) -> tuple[str, tuple[np.ndarray, float]]:
        values = samples[:: self._every] / np.float32(2**15)
        if self.dropped:
            values[~present(samples[:: self._every])] = np.nan
        return "wave", (values[:, 0], self.sample_rate)


def _check(words: int, features: str, sample_rate: int, dropped: float) -> None:
    if words not in (35, 10):
        raise ConfigError(f"data.words={words}: must be 35 or 10")
    if features not in _GUARD:
        raise ConfigError(f"data.features={features}: must be raw or mfcc")
    if not (0 < sample_rate <= RATE and RATE % sample_rate == 0):
        raise ConfigError(
            f"data.sample_rate={sample_rate}: must divide {RATE}, the clips' own; 8000 is every second sample"
        )
    if features == "mfcc" and sample_rate != RATE:
        raise ConfigError(f"data.sample_rate={sample_rate}: raw samples only; set data.features=raw")
    if not 0 <= dropped < 100:
        raise ConfigError(f"data.dropped={dropped}: must be at least 0 and less than 100, percent")


def _picture(coefficients: np.ndarray) -> tuple[str, np.ndarray]:
    least, most = np.nanmin(coefficients), np.nanmax(coefficients)
    scaled = np.nan_to_num((coefficients - least) / max(most - least, 1e-9))
    return "image", (255 * scaled).astype(np.uint8).T[::-1]
