"""Files of the BIDMC recordings, as windows of 32 seconds: the Monash archive's `.ts` files and PhysioNet's tables."""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from longrange.data.lines import lines
from longrange.data.progress import tracked
from longrange.data.reasons import reason
from longrange.errors import DataError

RATE = 125
STEPS = 4000
CHANNELS = ("PLETH", "II")
NUMERICS = {"HR": "HR", "RR": "RESP", "SpO2": "SpO2"}
RECORDINGS = 53

_SECONDS, _STRIDE, _WINDOW = 480, 3, STEPS // RATE
_STARTS = np.arange(0, _SECONDS - _WINDOW + 1, _STRIDE)
_PATIENT = re.compile(r"matched wdb ID:\s*(\S{1,40})\s")
_TIME = "Time [s]"
_BLOCK = 64
_LONGEST, _LARGEST = 10**6, 10**8  # bytes of a line of values, of a table; published ones: 10**5, 3 * 10**6
_AGAIN = "get it again"


class Windows(NamedTuple):
    """Examples in file order.

    Attributes:
        inputs: photoplethysmogram and ECG, (n, 4000, 2) float32; NaN in gaps.
        targets: (n, 1) float32; NaN where there is a gap.
        patients: whose window it is, (n,) str; None where the files do not say.
    """

    inputs: np.ndarray
    targets: np.ndarray
    patients: np.ndarray | None


def read_ts(paths: Sequence[Path]) -> Windows:
    """Windows of files in the `.ts` form: lines that start with @, then `values:values:target` a line.

    Args:
        paths: the files, read one after the other.
    Raises:
        DataError: a file is missing or empty, or a line is not two channels of 4,000 values and a target.
    """
    values = np.concatenate([block for path in paths for block in _ts_blocks(path)])
    channels = values[:, :-1].reshape(len(values), len(CHANNELS), STEPS)
    return Windows(channels.transpose(0, 2, 1), values[:, -1:], None)


def _ts_blocks(path: Path) -> Iterator[np.ndarray]:
    """The values of the rows, (n_i, 8001) float32."""
    numbered: list[tuple[int, bytes]] = []
    count = 0
    for number, line in lines(path, f"reading {path.name}", _LONGEST):
        if line.strip() and line[:1] not in b"@#":
            numbered.append((number, line.strip()))
        if len(numbered) == _BLOCK:
            yield _ts_values(path, numbered)
            count, numbered = count + len(numbered), []
    if numbered:
        yield _ts_values(path, numbered)
    elif not count:
        raise DataError(f"{path}: holds no rows under its header; {_AGAIN}")


def _ts_values(path: Path, numbered: Sequence[tuple[int, bytes]]) -> np.ndarray:
    wanted = [STEPS] * len(CHANNELS) + [1]
    for number, line in numbered:
        found = [part.count(b",") + 1 for part in line.split(b":")]
        if found != wanted:
            raise DataError(f"{path}, line {number}: {_shape(found)}, not {_shape(wanted)}; {_AGAIN}")
    try:
        return _column(b"\n".join(line for _, line in numbered)).reshape(len(numbered), -1)
    except pa.ArrowInvalid:
        for number, line in numbered:
            try:
                _column(line)
            except pa.ArrowInvalid as error:
                raise DataError(f"{path}, line {number}: {reason(str(error).rpartition(': ')[2])}; {_AGAIN}") from error
        raise


def _column(text: bytes) -> np.ndarray:
    """Numbers between commas, colons and line ends, float32, NaN where there is none or a question mark."""
    # A carriage return inside a line ends no cell, and the last cell may be empty.
    cells = text.translate(bytes.maketrans(b",:\r", b"\n\nr")) + b"\n"
    convert = pa.csv.ConvertOptions(column_types={"value": pa.float32()}, null_values=["", "?", "NaN", "nan"])
    read, parse = (
        pa.csv.ReadOptions(column_names=["value"]),
        pa.csv.ParseOptions(ignore_empty_lines=False, quote_char=False),
    )
    return pa.csv.read_csv(io.BytesIO(cells), read, parse, convert)["value"].to_numpy()


def _shape(parts: Sequence[int]) -> str:
    return f"{':'.join(map(str, parts))} values"


def read_tables(paths: Sequence[Path], target: str) -> Windows:
    """Windows of 32 s, one every 3 s, 150 from each recording of 8 minutes.

    The target is the mean of the monitor's figures, one a second, over the window.

    Args:
        paths: `bidmc_<number>_Signals.csv` of the recordings; beside each, its `_Numerics.csv` and its `_Fix.txt`.
        target: a key of `NUMERICS`.
    Raises:
        DataError: a file is missing, damaged or short, or lacks a column.
    """
    parts = [_recording(path, target) for path in tracked(paths, "reading recordings")]
    inputs, targets, patients = zip(*parts, strict=True)
    return Windows(np.concatenate(inputs), np.concatenate(targets), np.repeat(patients, len(_STARTS)))


def _recording(path: Path, target: str) -> tuple[np.ndarray, np.ndarray, str]:
    name = path.name.removesuffix("_Signals.csv")
    signals = _columns(path, CHANNELS, RATE)
    figures = _columns(path.with_name(f"{name}_Numerics.csv"), [NUMERICS[target]], 1)
    windows = np.stack([signals[start * RATE : start * RATE + STEPS] for start in _STARTS]).astype(np.float32)
    means = np.stack([figures[start : start + _WINDOW].mean(axis=0) for start in _STARTS]).astype(np.float32)
    return windows, means, _patient(path.with_name(f"{name}_Fix.txt"))


def _columns(path: Path, names: Sequence[str], rate: int) -> np.ndarray:
    """Columns of a table from second 0 to 480, (480 * rate, columns) float64, NaN where a cell is blank or NaN."""
    try:
        table = pa.csv.read_csv(io.BytesIO(_content(path)))
        table = table.rename_columns([name.strip() for name in table.column_names])
        missing = [name for name in (_TIME, *names) if table.column_names.count(name) != 1]
        if missing:
            raise DataError(f"{path}: no column {', '.join(missing)} (or several); {_AGAIN}")
        values = np.stack([table[name].cast(pa.float64()).to_numpy() for name in (_TIME, *names)], axis=-1)
    except (ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); {_AGAIN}") from error
    return _from_second_0(path, values, rate)[:, 1:]


def _from_second_0(path: Path, values: np.ndarray, rate: int) -> np.ndarray:
    """The rows of 480 s; one recording's figures start a second before its signals."""
    times, rows = values[:, 0], _SECONDS * rate
    before = -times[0] * rate if len(times) else 0.0
    first = round(before) if 0 < before < len(values) else 0
    values, times = values[first : first + rows], times[first : first + rows]
    if len(values) < rows:
        raise DataError(f"{path}: ends {(rows - len(values)) / rate:g} s before second {_SECONDS}; {_AGAIN}")
    if not np.allclose(times, np.arange(rows) / rate, rtol=0, atol=0.01):  # written with five digits
        raise DataError(f"{path}: its times are not {rate} a second from 0 on; {_AGAIN}")
    return values


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: larger than any file of a recording; {_AGAIN}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error


def _patient(path: Path) -> str:
    found = _PATIENT.search(_content(path).decode(errors="replace"))
    if found is None:
        raise DataError(f"{path}: does not name the patient (matched wdb ID); {_AGAIN}")
    return found[1]
