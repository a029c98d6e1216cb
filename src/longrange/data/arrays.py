"""Examples of equal size as memory-mapped .npy files: prepared once, gathered and decoded a whole batch at a time.

A split is two files, `<split>.inputs.npy` and `<split>.targets.npy`, readable by anyone with `numpy.load`. Inputs are
kept as small as their source has them (bytes for pixels); what a model takes is computed from the gathered batch.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor
from torch.utils.data import Dataset

from longrange.data.batch import Batch
from longrange.data.files import ensure_folder, prepared


class Arrays(NamedTuple):
    """The examples of a split, to be written.

    Attributes:
        inputs: (n, ...) of any dtype, or its consecutive parts (n_i, ...) where it does not fit the memory.
        targets: (n,) int64 classes or (n, output_size) float32 values.
    """

    inputs: np.ndarray | Iterable[np.ndarray]
    targets: np.ndarray


class ArrayDataset(Dataset):
    """One split, memory-mapped.

    Args:
        path: the folder of a cache and the split's name in it, as for `write_arrays`.
        decode: from gathered inputs, (B, ...) and its own to change, to what the model takes: (B, L, C) float32 or
            (B, L) int64. Must be picklable.

    Attributes:
        inputs: (n, ...) and targets: (n, ...), in the memory map.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """

    def __init__(self, path: Path, decode: Callable[[np.ndarray], Tensor]):
        self.path, self.decode = path, decode
        self.inputs, self.targets = mapped(_inputs_file(path)), mapped(_targets_file(path))
        if len(self.inputs) != len(self.targets):
            raise ValueError(f"{path}: {len(self.inputs)} inputs but {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these examples; every row is full."""
        return Batch(self.decode(self.inputs[indices]), None, torch.from_numpy(self.targets[indices]))

    def __reduce__(self):
        """Loader processes open the files anew instead of receiving a copy of what is mapped."""
        return type(self), (self.path, self.decode)


def write_arrays(path: Path, inputs: np.ndarray | Iterable[np.ndarray], targets: np.ndarray) -> None:
    """Write one split.

    Args:
        path: a folder and the split's name in it; its two files are made anew.
        inputs, targets: see `Arrays`; at least one example.
    Raises:
        ValueError: the parts do not fit together or the targets.
    """
    parts = iter([inputs] if isinstance(inputs, np.ndarray) else inputs)
    first = next(parts)
    kind, rows = (first.dtype, first.shape[1:]), 0
    with _inputs_file(path).open("wb") as file:
        write_header(file, first.dtype, (len(targets), *kind[1]))
        for part in chain([first], parts):
            if (part.dtype, part.shape[1:]) != kind:
                raise ValueError(f"{path}: a part of {part.dtype} {part.shape} after {first.dtype} {first.shape}")
            file.write(np.ascontiguousarray(part).data)
            rows += len(part)
    if rows != len(targets):
        raise ValueError(f"{path}: {rows} inputs but {len(targets)} targets")
    save(_targets_file(path), targets)


def ensure_arrays(folder: Path, splits: Sequence[str], encode: Callable[[str], Arrays]) -> None:
    """Make the cache unless it is there and readable; of several processes, one does the work.

    Args:
        folder: from `cache_folder`.
        splits: names of the splits.
        encode: makes a split's examples from its source.
    Raises:
        DataError: a source is at fault, or the folder cannot be written.
    """

    def make(partial: Path) -> None:
        for split in splits:
            write_arrays(partial / split, *encode(split))

    ensure_folder(folder, lambda: _readable(folder, splits), make)


def open_arrays(folder: Path, split: str, decode: Callable[[np.ndarray], Tensor], task: str) -> ArrayDataset:
    """A prepared split.

    Args:
        folder: from `cache_folder`.
        split: its name.
        decode: see `ArrayDataset`.
        task: the task's name in configs/data.
    Raises:
        DataError: the data has not been prepared.
    """
    with prepared(folder, task):
        return ArrayDataset(folder / split, decode)


def _readable(folder: Path, splits: Sequence[str]) -> bool:
    try:
        for split in splits:
            ArrayDataset(folder / split, torch.from_numpy)
    except (OSError, ValueError):
        return False
    return True


def save(path: Path, values: np.ndarray) -> None:
    """Write an array; unlike `numpy.save`, what the system says of a full disk is kept in the error."""
    with path.open("wb") as file:
        write_header(file, values.dtype, values.shape)
        file.write(np.ascontiguousarray(values).data)


def write_header(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Begin an .npy file; the values follow in the order of their rows."""
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def mapped(path: Path) -> np.ndarray:
    """An array in the memory map; `numpy.load` would also open archives and pickles.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """
    try:
        return np.asarray(npy.open_memmap(path, mode="r"))
    except OSError:
        raise
    except Exception as error:  # the header is parsed as Python, which fails in many ways
        raise ValueError(f"{path}: damaged ({error})") from error


def _inputs_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.inputs.npy")


def _targets_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.targets.npy")
