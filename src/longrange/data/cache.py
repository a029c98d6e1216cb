"""Token sequences as memory-mapped Arrow files: encoded once, reused by every later run.

A cache is a folder with one file for each split, readable by anyone with `datasets.Dataset.from_file`: a column
`tokens` (lists of ids) and a column `target`. It is one record batch, so that a batch of examples is gathered from the
memory map by numpy alone, whatever the order. The folder's name holds a digest of what it was made from; a changed
source or option thus makes a new one, and old ones may be deleted at any time.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset

from longrange.data.batch import Batch
from longrange.data.files import ensure_folder, prepared
from longrange.data.padding import pad

_SYMBOLS = b"symbols"
_TOKENS = [pa.large_list(kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32())]


class Sequences(NamedTuple):
    """Encoded examples.

    Attributes:
        values: all sequences end to end, (sum of lengths,) unsigned integers.
        lengths: (n,) int64.
        targets: (n,) int64.
    """

    values: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray


class SequenceDataset(Dataset):
    """One split, memory-mapped.

    Args:
        path: an Arrow file of `write_arrow`.

    Attributes:
        values: all sequences end to end, in the memory map.
        starts, lengths: place of each sequence in `values`, (n,) int64.
        targets: (n,) int64, in the memory map.
        symbols: as in `write_arrow`.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        table = _table(path)
        tokens, targets = (table.column(name).combine_chunks() for name in ("tokens", "target"))
        offsets = tokens.offsets.to_numpy()
        self.symbols = (table.schema.metadata or {}).get(_SYMBOLS, b"").decode()
        self.values, self.targets = tokens.values.to_numpy(), targets.to_numpy()
        self.starts, self.lengths = offsets[:-1], np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != len(self.values) or self.lengths.min() < 1:
            raise ValueError(f"{path}: offsets do not fit the values")

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these examples, padded with 0 to the longest of them."""
        chosen = np.asarray(indices)
        lengths = self.lengths[chosen]
        inputs = pad(self.values, self.starts[chosen], lengths)
        return Batch(*(torch.from_numpy(array) for array in (inputs, lengths, self.targets[chosen])))

    @property
    def steps(self) -> np.ndarray:
        """Steps of each example, (n,) int64."""
        return self.lengths

    def row(self, index: int) -> np.ndarray:
        """The ids of one sequence as they are stored."""
        return self.values[self.starts[index] : self.starts[index] + self.lengths[index]]

    def __reduce__(self):
        """Loader processes open the file anew instead of receiving a copy of what is mapped."""
        return type(self), (self.path,)


def _table(path: Path) -> pa.Table:
    """The mapped columns. Arrow takes a file at its word, so what it says is compared before it is used."""
    try:
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all().select(["tokens", "target"])
        table.validate(full=True)
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(f"{path}: damaged ({error})") from error
    tokens, target = (field.type for field in table.schema)
    if tokens not in _TOKENS or target != pa.int64():
        raise ValueError(f"{path}: columns of {tokens} and {target}")
    if not len(table) or any(column.null_count for column in (table["tokens"], table["target"])):
        raise ValueError(f"{path}: holds gaps or nothing")
    return table


AnySequences = TypeVar("AnySequences", bound=SequenceDataset)


def write_arrow(path: Path, sequences: Sequences, symbols: str = "") -> None:
    """Write one split.

    Args:
        path: the file, made anew.
        sequences: its examples, at least one.
        symbols: of text: the characters in the order of their ids, for whoever reads ids as text; kept in the file.
    """
    offsets = np.concatenate([[0], np.cumsum(sequences.lengths)])
    tokens = pa.LargeListArray.from_arrays(offsets, sequences.values)
    metadata = {_SYMBOLS: symbols}
    table = pa.table({"tokens": tokens, "target": sequences.targets}, metadata=metadata)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def cache_folder(root: Path, name: str, sources: Iterable[Path], options: dict) -> Path:
    """Where the encoded form of these files belongs.

    Args:
        root: the folder of all caches.
        name: the task's name.
        sources: the files it is made from; their places, sizes and times of change enter the digest.
        options: whatever else decides the encoded form, as JSON values.
    """
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    digest = hashlib.sha256(json.dumps([facts, options], sort_keys=True).encode()).hexdigest()
    return root / f"{name}-{digest[:12]}"


def ensure_cache(
    folder: Path, splits: Sequence[str], encode: Callable[[str], Sequences], symbols: Callable[[], str] = str
) -> None:
    """Make the cache unless it is there and readable; of several processes, one does the work.

    Args:
        folder: from `cache_folder`.
        splits: names of the splits, one file each.
        encode: makes a split's examples from its source.
        symbols: gives those of `write_arrow`.
    Raises:
        DataError: a source is at fault, or the folder cannot be written.
    """

    def make(partial: Path) -> None:
        for split in splits:
            write_arrow(arrow_file(partial, split), encode(split), symbols())

    ensure_folder(folder, lambda: _readable(folder, splits), make)


def arrow_file(folder: Path, split: str) -> Path:
    """The file of a split in a cache."""
    return folder / f"{split}.arrow"


def open_split(folder: Path, split: str, task: str, kind: type[AnySequences] = SequenceDataset) -> AnySequences:
    """A prepared split.

    Args:
        folder: from `cache_folder`.
        split: its name.
        task: the task's name in configs/data.
        kind: how its rows make examples.
    Raises:
        DataError: the data has not been prepared.
    """
    with prepared(folder, task):
        return kind(arrow_file(folder, split))


def _readable(folder: Path, splits: Sequence[str]) -> bool:
    try:
        for split in splits:
            SequenceDataset(arrow_file(folder, split))
    except (OSError, ValueError):
        return False
    return True
