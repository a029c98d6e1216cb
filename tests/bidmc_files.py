"""A folder in the layout of PhysioNet's BIDMC tables, with noise for signals; and files in the `.ts` form."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv


def write_table(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write one table; as published, headings after the first begin with a space."""
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        file.write(f"{', '.join(columns)}\n".encode())
        pa.csv.write_csv(pa.table(columns), file, options)


def write_recording(folder: Path, number: int, patient: str, first_second: int = 0) -> dict[str, np.ndarray]:
    """Write the three files of one recording of eight minutes.

    Args:
        folder: exists.
        number: of the recording; decides its values.
        patient: who it is.
        first_second: when the monitor's figures begin; the signals begin at 0.
    Returns:
        "PLETH" and "II", (60001,); "HR", "RESP" and "SpO2", figures of seconds 0 to 480.
    """
    rng = np.random.default_rng(number)
    signals = {name: rng.random(60_001).round(5) for name in ("RESP", "II", "PLETH")}
    figures = {name: rng.integers(60, 99, 481 - first_second) for name in ("HR", "PULSE", "RESP", "SpO2")}
    stem = f"bidmc_{number:02}"
    times = (np.arange(60_001) / 125).round(2)
    write_table(folder / f"{stem}_Signals.csv", {"Time [s]": times, **signals})
    write_table(folder / f"{stem}_Numerics.csv", {"Time [s]": np.arange(first_second, 481), **figures})
    (folder / f"{stem}_Fix.txt").write_text(f"{stem}\nAge: 88\nMIMIC II matched wdb ID: {patient}\nLocation: micu\n")
    return signals | {name: values[-first_second:] for name, values in figures.items()}


def write_ts(path: Path, inputs: np.ndarray, targets: Sequence[float]) -> None:
    """Write (n, L, C) inputs and n targets as the Monash archive does."""
    header = ["# comment", "@problemName Small", "@univariate false", "@targetlabel true", "@data"]
    rows = [":".join([*(",".join(map(str, channel)) for channel in example.T), str(target)])
            for example, target in zip(inputs, targets, strict=True)]  # fmt: skip
    path.write_text("\n".join([*header, *rows, ""]))
