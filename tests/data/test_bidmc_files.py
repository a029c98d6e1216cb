"""BIDMC's two kinds of files: what they give, and what is said of damaged ones."""

import numpy as np
import pytest
from bidmc_files import write_recording, write_table, write_ts

from longrange.data.bidmc_files import read_tables, read_ts
from longrange.errors import DataError


def examples(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, 4000, 2)).astype(np.float32), rng.random(n).astype(np.float32)


def test_ts_files_give_what_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr("longrange.data.bidmc_files._BLOCK", 2)
    parts = examples(3), examples(2, seed=1)
    paths = [tmp_path / "A_TRAIN.ts", tmp_path / "A_TEST.ts"]
    for path, part in zip(paths, parts, strict=True):
        write_ts(path, *part)
    read = read_ts(paths)
    np.testing.assert_array_equal(read.inputs, np.concatenate([inputs for inputs, _ in parts]))
    np.testing.assert_array_equal(read.targets[:, 0], np.concatenate([targets for _, targets in parts]))
    assert read.patients is None


def test_gaps_in_ts_files_are_not_filled(tmp_path):
    inputs, targets = examples(3)
    inputs[0, 7, 1], inputs[1, 3999, 0], targets[2] = np.nan, np.nan, np.nan
    path = tmp_path / "x.ts"
    write_ts(path, inputs, targets)
    lines = path.read_text().splitlines()
    lines[5:] = lines[5].replace("nan", "?"), lines[6].replace("nan", ""), lines[7].replace("nan", "")
    path.write_text("\n".join(lines))
    read = read_ts([path])
    np.testing.assert_array_equal(read.inputs, inputs)
    np.testing.assert_array_equal(read.targets[:, 0], targets)
    assert lines[-1].endswith(":"), "the very last cell is empty"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"0.5,", b"zero,", r"x\.ts, line 6: invalid value 'zero'"),
        (b"0.5,", b"", r"x\.ts, line 6: 3999:4000:1 values, not 4000:4000:1 values"),
        (b"0.5,", b"0.5\r,", r"x\.ts, line 6: invalid value '0\.5r'"),
        (b"0.5,", b'"0.5,', r"x\.ts, line 6: invalid value '\"0\.5'"),
        (b":60.0", b"", r"x\.ts, line 6: 4000:4000 values, not 4000:4000:1 values"),
        (b":60.0", b":60.0,1", r"x\.ts, line 6: 4000:4000:2 values, not"),
    ],
)
def test_a_bad_row_of_a_ts_file_is_named(tmp_path, old, new, message):
    inputs, _ = examples(2)
    inputs[0, 9, 0] = 0.5
    path = tmp_path / "x.ts"
    write_ts(path, inputs, [60.0, 61.0])
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(DataError, match=f"{message}.*; get it again$"):
        read_ts([path])


def test_a_ts_file_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "x.ts"
    write_ts(path, *examples(2))
    path.write_bytes(path.read_bytes()[:-30_000])
    with pytest.raises(DataError, match=r"x\.ts, line 7: 4000:\d+ values, not 4000:4000:1"):
        read_ts([path])


@pytest.mark.parametrize("content", [None, b"@data\n"])
def test_a_ts_file_without_rows_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "x.ts").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.ts: (holds no rows under its header|cannot be read)"):
        read_ts([tmp_path / "x.ts"])


@pytest.mark.parametrize(("target", "column"), [("HR", "HR"), ("RR", "RESP"), ("SpO2", "SpO2")])
@pytest.mark.parametrize("first_second", [0, -1])
def test_windows_of_tables(tmp_path, target, column, first_second):
    made = write_recording(tmp_path, 1, "s01", first_second)
    read = read_tables([tmp_path / "bidmc_01_Signals.csv"], target)
    assert read.inputs.shape == (150, 4000, 2)
    assert read.patients.tolist() == ["s01"] * 150
    for i in (0, 1, 149):
        seconds = slice(3 * i, 3 * i + 32)
        samples = slice(375 * i, 375 * i + 4000)
        expected = np.stack([made["PLETH"][samples], made["II"][samples]], axis=1).astype(np.float32)
        np.testing.assert_array_equal(read.inputs[i], expected)
        np.testing.assert_allclose(read.targets[i], made[column][seconds].mean(), rtol=1e-6)


def test_recordings_follow_each_other(tmp_path):
    for number, patient in ((1, "s01"), (2, "s09")):
        write_recording(tmp_path, number, patient)
    paths = sorted(tmp_path.glob("*_Signals.csv"))
    both, second = read_tables(paths, "HR"), read_tables(paths[1:], "HR")
    np.testing.assert_array_equal(both.inputs[150:], second.inputs)
    np.testing.assert_array_equal(both.targets[150:], second.targets)
    assert both.patients.tolist() == ["s01"] * 150 + ["s09"] * 150


def rewrite(path, rows=slice(None), drop=None, **changes):
    """Write a table again: other rows, a column less, other columns."""
    import pyarrow.csv

    table = pyarrow.csv.read_csv(path)
    columns = {name.strip(): table[name].to_numpy() for name in table.column_names if name.strip() != drop}
    write_table(path, {name: values[rows] for name, values in (columns | changes).items()})


def test_gaps_in_tables_are_not_filled(tmp_path):
    made = write_recording(tmp_path, 1, "s01")
    figures, signal = made["HR"].astype(float), made["PLETH"].copy()
    figures[100] = signal[4000] = np.nan
    for file, gap, column in (("Numerics", "NaN", {"HR": figures}), ("Signals", "", {"PLETH": signal})):
        path = tmp_path / f"bidmc_01_{file}.csv"
        rewrite(path, **column)
        path.write_text(path.read_text().replace("nan", gap))
    read = read_tables([tmp_path / "bidmc_01_Signals.csv"], "HR")
    hidden = np.flatnonzero(np.isnan(read.targets[:, 0]))
    assert hidden.tolist() == [i for i in range(150) if 3 * i <= 100 < 3 * i + 32]
    assert np.flatnonzero(np.isnan(read.inputs).any((1, 2))).tolist() == list(range(1, 11))
    assert np.isnan(read.inputs).sum() == 10


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("Signals", {"drop": "II"}, r"Signals\.csv: no column II"),
        ("Numerics", {"drop": "HR"}, r"Numerics\.csv: no column HR"),
        ("Signals", {"rows": slice(59_000)}, r"Signals\.csv: ends 8 s before second 480"),
        ("Numerics", {"rows": slice(20, None)}, r"Numerics\.csv: ends 19 s before second 480"),
        ("Signals", {"Time [s]": np.arange(60_001) / 100}, r"Signals\.csv: its times are not 125 a second from 0 on"),
        ("Numerics", {"Time [s]": np.arange(481) + 5}, r"Numerics\.csv: its times are not 1 a second from 0 on"),
        (
            "Numerics",
            {"HR": np.array(["fast"] * 481)},
            r"Numerics\.csv: cannot be read \(Failed to parse string: 'fast'",
        ),
    ],
)
def test_a_bad_table_is_named(tmp_path, file, change, message):
    write_recording(tmp_path, 1, "s01")
    rewrite(tmp_path / f"bidmc_01_{file}.csv", **change)
    with pytest.raises(DataError, match=f"bidmc_01_{message}.*; get it again$"):
        read_tables([tmp_path / "bidmc_01_Signals.csv"], "HR")


@pytest.mark.parametrize("file", ["Signals.csv", "Numerics.csv", "Fix.txt"])
@pytest.mark.parametrize("content", [None, b"", b"\x00\xff,1\n2"])
def test_a_missing_or_foreign_file_is_named(tmp_path, file, content):
    write_recording(tmp_path, 1, "s01")
    path = tmp_path / f"bidmc_01_{file}"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"bidmc_01_{file}: (cannot be read|no column|does not name)[^\n]*get it again$"
    ):
        read_tables([tmp_path / "bidmc_01_Signals.csv"], "HR")
