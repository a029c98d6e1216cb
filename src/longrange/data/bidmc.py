"""BIDMC: heart rate, respiratory rate or blood oxygen of a patient, from 32 s of pulse oximeter and ECG at 125 Hz.

Source: Pimentel et al. 2016 (PhysioNet, Open Data Commons Attribution), 53 recordings of 8 minutes from 46 patients.
Published results are on the windows of the Monash time series regression archive (Tan et al., arXiv 2006.10996):
7,949 of 2 channels and 4,000 steps, shuffled and split as in the S4 code, 5,564 / 1,192 / 1,193, neither inputs nor
targets normalised; root mean squared error in beats or breaths a minute, or percent.

* `source: ts` reads that archive's files.
* `source: tables` cuts windows from PhysioNet's own tables, which name the patient: one every 3 s, 150 a recording, the
  target being the mean of the monitor's figures over the window. Not row by row the archive's windows.

Windows overlap, and the published split puts windows that share 29 s in different splits, so its scores say little
about new patients. `split_by: patient` keeps every patient in one split.
"""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from longrange.data.archives import ensure_unpacked
from longrange.data.arrays import ArrayDataset, Arrays, ensure_arrays, open_arrays
from longrange.data.bidmc_files import CHANNELS, NUMERICS, RATE, RECORDINGS, STEPS, Windows, read_tables, read_ts
from longrange.data.cache import cache_folder
from longrange.data.checksums import check
from longrange.data.fetch import Source, fetch
from longrange.data.held_out import grouped, shuffled
from longrange.data.module import SequenceDataModule, Split
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

log = logging.getLogger(__name__)

ZENODO_RECORDS = {"RR": 4001463, "HR": 4001456, "SpO2": 4001464}
TABLES = Source(
    url="https://physionet.org/content/bidmc/get-zip/1.0.0/",
    name="bidmc-ppg-and-respiration-dataset-1.0.0.zip",
    by_hand="download the ZIP file of https://physionet.org/content/bidmc/1.0.0/",
)
UNITS = {"HR": "beats a minute", "RR": "breaths a minute", "SpO2": "%"}


class Bidmc(SequenceDataModule):
    """BIDMC, downloaded where it is absent.

    Args:
        data_dir: folder of `BIDMC32<target>_TRAIN.ts` and `_TEST.ts`, or of the tables (in it or below it).
        cache_dir: folder of the prepared data; `data_dir/cache` where None.
        target: "HR" (heart rate), "RR" (respiratory rate) or "SpO2" (blood oxygen).
        source: "ts" or "tables", see above.
        split_by: "window", as published, or "patient".
        download: get the files where there are none.
        name: the task's name in its spec.
        options: batch size and loader options, see `SequenceDataModule`.

    Raises:
        ConfigError: an unknown value, or a split by patient of files that do not name patients.
    """

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        target: Literal["HR", "RR", "SpO2"],
        source: Literal["ts", "tables"] = "ts",
        split_by: Literal["window", "patient"] = "window",
        download: bool = True,
        name: str,
        **options,
    ):
        super().__init__(**options)
        choices = [("target", target, NUMERICS), ("source", source, _READ), ("split_by", split_by, _SPLIT)]
        for key, value, allowed in choices:
            if value not in allowed:
                raise ConfigError(f"data.{key}={value}: must be {' or '.join(allowed)}")
        if split_by == "patient" and source == "ts":
            raise ConfigError("data.split_by=patient: the .ts files do not name patients; set data.source=tables")
        self.data_dir = Path(data_dir).expanduser()
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else self.data_dir / "cache"
        self.target, self.source, self.split_by = target, source, split_by
        self.download, self.name = download, name

    @property
    def spec(self) -> TaskSpec:
        """4,000 steps of two channels in, one value out."""
        return TaskSpec(self.name, "continuous", len(CHANNELS), 1, STEPS, loss="mse")

    @property
    def sources(self) -> list[Source]:
        """The archive's two files, or PhysioNet's tables."""
        if self.source == "tables":
            return [TABLES]
        names = [f"BIDMC32{self.target}_{part}.ts" for part in ("TRAIN", "TEST")]
        record = ZENODO_RECORDS[self.target]
        return [Source(f"https://zenodo.org/record/{record}/files/{name}", name) for name in names]

    def present(self) -> bool:
        """Whether the files are there, unpacked."""
        return bool(self._files) and all(path.is_file() for path in self._files)

    def prepare_data(self) -> None:
        """Download the files and cut them into windows, as far as that has not been done.

        Raises:
            DataError: a file cannot be had or is damaged; a place cannot be written.
        """
        if self.source == "tables":
            ensure_unpacked(TABLES, self.data_dir, self.present, download=self.download)
        else:
            for source in self.sources:
                fetch(source, self.data_dir, download=self.download)
        windows = functools.cache(self._windows)
        ensure_arrays(self._cache, ("train", "val", "test"), lambda split: self._encode(windows(), split))

    def split(self, name: Split) -> ArrayDataset:
        """The windows of one split, memory-mapped.

        Raises:
            DataError: the data has not been prepared.
        """
        return open_arrays(self._cache, name, torch.from_numpy, self.name)

    def preview(self, split: Split, indices: Sequence[int]) -> list[tuple[str, Any, str]]:
        """Windows for people: "wave", both channels and their rate, and the target."""
        data = self.split(split)
        labels = [f"{self.target} {data.targets[i, 0]:.1f} {UNITS[self.target]}" for i in indices]
        return [("wave", (data.inputs[i], RATE), label) for i, label in zip(indices, labels, strict=True)]

    @property
    def _files(self) -> list[Path]:
        if self.source == "ts":
            return [self.data_dir / source.name for source in self.sources]
        return sorted(self.data_dir.rglob("bidmc_*_Signals.csv"))

    @property
    def _all_files(self) -> list[Path]:
        """With what lies beside each table of signals."""
        return self._files if self.source == "ts" else sorted(self._files[0].parent.glob("bidmc_*_*.*"))

    @property
    def _cache(self) -> Path:
        if not self.present():
            raise DataError(f"{self.data_dir}: not prepared; run scripts/prepare_data.py data={self.name}")
        options = {"target": self.target, "source": self.source, "split_by": self.split_by}
        return cache_folder(self.cache_dir, self.name, self._all_files, options)

    def _windows(self) -> Windows:
        check(self.data_dir, self._all_files)
        windows = _READ[self.source](self._files, self.target)
        whole = _whole(windows)
        if not whole.all():
            note = "%s: %d of %d windows have gaps in the signals or in %s; they are left out of the splits"
            log.warning(note, self.name, (~whole).sum(), len(whole), self.target)
        return windows

    def _encode(self, windows: Windows, split: str) -> Arrays:
        """Gaps are left out after the split, so that all targets have the same windows in a split."""
        rows = _SPLIT[self.split_by](windows)[split]
        rows = rows[_whole(windows)[rows]]
        if not len(rows):
            raise DataError(f"{self.data_dir}: too few windows without gaps for a {split} split")
        return Arrays(windows.inputs[rows], windows.targets[rows])


def _whole(windows: Windows) -> np.ndarray:
    """Which windows have no gap, (n,) bool."""
    return np.isfinite(windows.targets).all(1) & np.isfinite(windows.inputs).all((1, 2))


def _read_tables(files: Sequence[Path], target: str) -> Windows:
    if len(files) != RECORDINGS:
        note = "%s: %d recordings, not the %d published ones; scores do not compare with published ones"
        log.warning(note, files[0].parent, len(files), RECORDINGS)
    return read_tables(files, target)


def _by_window(windows: Windows) -> dict[str, np.ndarray]:
    """The published split: scikit-learn's, 30% held out with seed 0, halved with seed 1."""
    train, rest = shuffled(len(windows.targets), 0.3, seed=0)
    val, test = shuffled(len(rest), 0.5, seed=1)
    return {"train": train, "val": rest[val], "test": rest[test]}


def _by_patient(windows: Windows) -> dict[str, np.ndarray]:
    """15% of the windows in validation and in test, or a patient more."""
    return dict(zip(("val", "test", "train"), grouped(windows.patients, (0.15, 0.15), seed=0), strict=True))


_READ = {"ts": lambda files, target: read_ts(files), "tables": _read_tables}
_SPLIT = {"window": _by_window, "patient": _by_patient}
