"""The batch files of CIFAR-10: Python pickles, read without letting them run anything.

Unpickling calls whatever a file names. Here the few names that a batch file needs stand for classes of this module, so
neither Python's nor NumPy's functions are reached; every other name is refused.
"""

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np

from longrange.data.reasons import reason
from longrange.errors import DataError

TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILES = ("test_batch",)
N_CLASSES = 10
SIDE = 32

_PUBLISHED_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_LARGEST = 10**8  # bytes of a batch file; the published ones have 31 million
_MOST_STEPS = 300_000  # of the machine that unpickling is; the published files take 60,000
# Those that the published files and Python's own pickles of the same content take.
_STEPS = (
    "PROTO FRAME STOP MARK POP_MARK TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT "
    "SETITEM SETITEMS NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 PUT BINPUT LONG_BINPUT MEMOIZE GET "
    "BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD"
)


def read_batch(path: Path, verify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one batch file.

    Args:
        path: the file, under its published name.
        verify: refuse a file that differs from the published one in any bit.
    Returns:
        (n, 1024, 3) uint8, row by row, and (n,) int64.
    Raises:
        DataError: the file is missing, damaged or something else.
    """
    content = _content(path)
    if verify and hashlib.md5(content, usedforsecurity=False).hexdigest() != _PUBLISHED_MD5[path.name]:
        raise DataError(
            f"{path}: differs from the published file (md5 {_PUBLISHED_MD5[path.name]} expected); unpack "
            f"cifar-10-python.tar.gz again, or data.verify=false to take it as it is"
        )
    try:
        images, labels = _parse(content)
    except Exception as error:  # whatever is in the file may raise whatever it likes
        raise DataError(
            f"{path}: not a CIFAR-10 batch file ({reason(error)}); unpack cifar-10-python.tar.gz again"
        ) from error
    return images.reshape(-1, 3, SIDE * SIDE).transpose(0, 2, 1), labels


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: larger than any CIFAR-10 batch file; unpack cifar-10-python.tar.gz again")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); unpack cifar-10-python.tar.gz again") from error


def _parse(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    fields = _Unpickler(content).load()
    if not isinstance(fields, dict):
        raise ValueError("not a dictionary")
    images, labels = (fields.get(key.encode(), fields.get(key)) for key in ("data", "labels"))
    if not isinstance(images, _Array) or images.shape[1:] != (3 * SIDE * SIDE,):
        raise ValueError("no array of images, (n, 3072) bytes")
    if not isinstance(labels, list) or any(type(label) is not int or not 0 <= label < N_CLASSES for label in labels):
        raise ValueError("no list of labels from 0 to 9")
    if len(labels) != images.shape[0] or not labels:
        raise ValueError(f"{images.shape[0]} images but {len(labels)} labels")
    return images.bytes(), np.array(labels)


class _Array:
    """What stands in a pickle for an array of bytes."""

    shape: tuple[int, ...] = ()

    def __init__(self, *subtype_shape_typecode):
        """The pickle's arguments describe an empty array; the real one comes as its state."""

    def __setstate__(self, state: tuple) -> None:
        _version, self.shape, _dtype, self.fortran, self.content = state

    def bytes(self) -> np.ndarray:
        return np.frombuffer(self.content, np.uint8).reshape(self.shape, order="F" if self.fortran else "C")


class _ByteType:
    """What stands in a pickle for the type of an array's elements; nothing but bytes is taken."""

    def __init__(self, name, *align_copy):
        if name not in (b"u1", "u1"):
            raise ValueError(f"an array of {name!r}, not of bytes")

    def __setstate__(self, state) -> None:
        """Byte order and the like, of no meaning for bytes."""


class _Encoded:
    """What Python 3 writes into old pickle formats for bytes: text, a character for each of them."""

    def __new__(cls, text, encoding):
        return text.encode("latin1")

    def __setstate__(self, state) -> None:
        raise ValueError("bytes have no state")


_NAMES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _ByteType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _Encoded,
}


class _Steps(dict):
    """What to do at each step. Without end are neither their number nor, as keys are plain, the time a step takes."""

    def __init__(self, known: dict):
        super().__init__({code: known[code] for code in (getattr(pickle, name)[0] for name in _STEPS.split())})
        self.taken = 0

    def __getitem__(self, code: int):
        self.taken += 1
        if self.taken > _MOST_STEPS or code not in self:
            raise pickle.UnpicklingError(f"step {self.taken:,} is {bytes([code])!r}")
        return super().__getitem__(code)


class _Unpickler(pickle._Unpickler):
    """The one written in Python: for a damaged number, the one in C sets aside gigabytes."""

    def __init__(self, content: bytes):
        super().__init__(io.BytesIO(content), encoding="bytes")
        self.dispatch = _Steps(self.dispatch | {pickle.SETITEM[0]: _set_item, pickle.SETITEMS[0]: _set_items})

    def find_class(self, module: str, name: str):
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}"[:80])
        return _NAMES[module, name]


def _set_item(machine: _Unpickler) -> None:
    _check_keys(machine.stack[-2:-1])
    machine.load_setitem()


def _set_items(machine: _Unpickler) -> None:
    _check_keys(machine.stack[::2])
    machine.load_setitems()


def _check_keys(keys: list) -> None:
    """A few nested tuples that hold themselves twice take longer to look up than the world lasts."""
    if not all(isinstance(key, bytes | str) for key in keys):
        raise pickle.UnpicklingError("a dictionary of other things than names")
