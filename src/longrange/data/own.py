"""Your own sequences: .npy files as `numpy.save` writes them, used as they are, from disk.

    <split>.inputs.npy     (n, L, C) numbers; or (n, L) whole numbers, token ids from 0
    <split>.targets.npy    (n,) whole numbers, classes from 0; or (n, values) numbers, a regression
    <split>.lengths.npy    (n,) whole numbers from 1 to L, where sequences differ in length; nothing beyond is read

for the splits train, val and test. Nothing is shuffled, normalised or held out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from longrange.data.arrays import mapped
from longrange.data.batch import Batch
from longrange.data.module import SequenceDataModule, Split
from longrange.errors import DataError
from longrange.models.spec import Kind, Loss, TaskSpec

SPLITS: tuple[Split, ...] = ("train", "val", "test")
_ROWS = 1000  # that are looked through at once


class OwnSequences(SequenceDataModule):
    """Sequences of your own, in the files named above.

    Args:
        data_dir: their folder.
        kind, input_size, output_size, max_length, variable_length, loss: the task's shape, see `TaskSpec`; files of
            another one are refused with the settings that they want.
        name: the task's name.
        options: batch size and loader options, see `SequenceDataModule`.
    Raises:
        ConfigError: values that are no shape.
    """

    def __init__(
        self,
        *,
        data_dir: str | Path,
        kind: Kind,
        input_size: int,
        output_size: int,
        max_length: int,
        variable_length: bool = False,
        loss: Loss = "cross_entropy",
        name: str = "own",
        **options,
    ):
        super().__init__(**options)
        self.data_dir = Path(data_dir).expanduser()
        self._spec = TaskSpec(name, kind, input_size, output_size, max_length, variable_length, loss)

    @property
    def spec(self) -> TaskSpec:
        """As the arguments say."""
        return self._spec

    def prepare_data(self) -> None:
        """Look through all files; nothing is written.

        Raises:
            DataError: one is missing or damaged, holds what no task can have, or wants another shape of task.
        """
        for name in SPLITS:
            if wanted := _wanted(self.split(name).shape(), self.spec):
                settings = " ".join(f"data.{key}={str(value).lower()}" for key, value in wanted.items())
                raise DataError(f"{self.data_dir / name}.*.npy: these sequences want {settings}")

    def split(self, name: Split) -> "OwnSplit":
        """The sequences of one split, memory-mapped.

        Raises:
            DataError: a file is missing or damaged.
        """
        return OwnSplit(self.data_dir / name)


class OwnSplit(Dataset):
    """The sequences of a split, each batch cut to its longest one.

    Args:
        path: folder and name of the split.
    Attributes:
        inputs: (n, L) or (n, L, C), in the memory map.
        targets: (n,) int64 or (n, values) float32.
        variable: whether there is a file of lengths.
        lengths: (n,) int64; L for all of them where there is none.
        steps: the same.
    Raises:
        DataError: a file is missing or damaged, holds something else, or they do not fit together.
    """

    def __init__(self, path: Path):
        self.path, self.variable = path, _file(path, "lengths").is_file()
        self.inputs, targets = _opened(path, "inputs"), _opened(path, "targets")
        self.targets = np.array(targets, np.int64 if targets.ndim == 1 else np.float32)
        lengths = _opened(path, "lengths") if self.variable else np.full(len(targets), self.inputs.shape[1])
        self.lengths = self.steps = np.array(lengths, np.int64)
        if not len(self.inputs) == len(self.targets) == len(self.lengths) > 0:
            counts = f"{len(self.inputs)} inputs, {len(self.targets)} targets, {len(self.lengths)} lengths"
            raise DataError(f"{path}.*.npy: {counts}; must be equally many, and one at least")

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these sequences."""
        lengths, targets = torch.from_numpy(self.lengths[indices]), torch.from_numpy(self.targets[indices])
        inputs = self.inputs[indices][:, : lengths.max()]
        inputs = torch.from_numpy(inputs.astype(np.float32 if inputs.ndim == 3 else np.int64))
        return Batch(inputs, lengths if self.variable else None, targets)

    def __reduce__(self):
        """Loader processes open the files anew instead of receiving a copy of what is mapped."""
        return type(self), (self.path,)

    def shape(self) -> dict[str, Any]:
        """What a `TaskSpec` of these sequences has, after a look at every number.

        Raises:
            DataError: a length beyond its sequence, a token id or class below 0, or a number that is not finite.
        """
        tokens, classes, L = self.inputs.ndim == 2, self.targets.ndim == 1, self.inputs.shape[1]
        self._refuse("lengths", (self.lengths < 1) | (self.lengths > L))
        self._refuse("targets", self.targets < 0 if classes else ~np.isfinite(self.targets).all(1))
        largest = max(map(self._largest, range(0, len(self), _ROWS)))
        return {
            "kind": "tokens" if tokens else "continuous",
            "input_size": largest + 1 if tokens else self.inputs.shape[2],
            "output_size": int(self.targets.max()) + 1 if classes else self.targets.shape[1],
            "max_length": L,
            "variable_length": self.variable,
            "loss": "cross_entropy" if classes else "mse",
        }

    def _largest(self, first: int) -> int:
        """The largest token id of some rows from `first` on; 0 of numbers."""
        inputs, lengths = self.inputs[first : first + _ROWS], self.lengths[first : first + _ROWS]
        read = np.arange(inputs.shape[1]) < lengths[:, None]
        impossible = inputs < 0 if inputs.ndim == 2 else ~np.isfinite(inputs).all(2)
        self._refuse("inputs", (impossible & read).any(1), first)
        return int(inputs.max(where=read, initial=0)) if inputs.ndim == 2 else 0

    def _refuse(self, part: str, rows: np.ndarray, first: int = 0) -> None:
        if rows.any():
            row = first + int(rows.argmax())
            raise DataError(f"{_file(self.path, part)}, row {row}: {_IMPOSSIBLE[part]}")


_FORMS = {  # by number of dimensions: what may stand there
    "inputs": {2: "whole numbers (n, L)", 3: "numbers (n, L, C)"},
    "targets": {1: "whole numbers (n,)", 2: "numbers (n, values)"},
    "lengths": {1: "whole numbers (n,)"},
}
_IMPOSSIBLE = {
    "inputs": "a token id below 0, or a number that is not finite",
    "targets": "a class below 0, or a number that is not finite",
    "lengths": "must be from 1 to the length of the inputs",
}


def _file(path: Path, part: str) -> Path:
    return path.with_name(f"{path.name}.{part}.npy")


def _opened(path: Path, part: str) -> np.ndarray:
    file = _file(path, part)
    try:
        values = mapped(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    form = _FORMS[part].get(values.ndim, "")
    if values.dtype.kind not in ("iu" if form.startswith("whole") else "iuf" if form else ""):
        wanted = " or ".join(_FORMS[part].values())
        raise DataError(f"{file}: has {values.dtype} of shape {values.shape}, must be {wanted}")
    return values


def _wanted(found: dict[str, Any], spec: TaskSpec) -> dict[str, Any]:
    """What a task's shape lacks for sequences of another one; it may have more ids, classes and steps than occur."""
    roomy = {
        "input_size": found["kind"] == "tokens",
        "output_size": found["loss"] == "cross_entropy",
        "max_length": found["variable_length"],
    }
    told = {key: getattr(spec, key) for key in found}
    fits = {key: value <= told[key] if roomy.get(key) else value == told[key] for key, value in found.items()}
    return {key: value for key, value in found.items() if not fits[key]}
