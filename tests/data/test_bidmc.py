"""The BIDMC tasks, from both kinds of files."""

import os
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pyarrow.csv
import pytest
import torch
from bidmc_files import write_recording, write_ts
from hydra.utils import instantiate
from paths import ROOT

from longrange.cli import compose
from longrange.data.bidmc import Bidmc
from longrange.data.bidmc_files import read_tables
from longrange.data.held_out import shuffled
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

REAL = Path(os.environ.get("LONGRANGE_DATA", ROOT / "data")) / "bidmc"
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Six recordings of five patients."""
    folder = tmp_path_factory.mktemp("bidmc_csv")
    for number, patient in enumerate(["s01", "s02", "s03", "s02", "s04", "s05"], 1):
        write_recording(folder, number, patient)
    return folder


@pytest.fixture
def task(tmp_path):
    def prepared(folder, target="HR", **options) -> Bidmc:
        made = Bidmc(data_dir=folder, cache_dir=tmp_path / "cache", target=target, name=f"bidmc_{target.lower()}",
                     batch_size=4, download=False, **options)  # fmt: skip
        made.prepare_data()
        return made

    return prepared


def write_published(folder, gap=None):
    """Files of 14 and 7 examples; returns them together."""
    inputs = np.random.default_rng(0).random((21, 4000, 2)).astype(np.float32)
    targets = np.arange(21, dtype=np.float32)
    if gap is not None:
        targets[gap] = np.nan
    write_ts(folder / "BIDMC32HR_TRAIN.ts", inputs[:14], targets[:14])
    write_ts(folder / "BIDMC32HR_TEST.ts", inputs[14:], targets[14:])
    return inputs, targets


def test_spec_needs_no_data(tmp_path):
    made = Bidmc(data_dir=tmp_path / "none", target="RR", name="bidmc_rr", batch_size=1)
    assert made.spec == TaskSpec("bidmc_rr", "continuous", 2, 1, 4000, loss="mse")


def test_published_files_are_put_together_and_split_anew(tmp_path, task):
    inputs, targets = write_published(tmp_path)
    made = task(tmp_path)
    train, rest = shuffled(21, 0.3, seed=0)
    val, test = shuffled(7, 0.5, seed=1)
    for split, rows in zip(SPLITS, (train, rest[val], rest[test]), strict=True):
        batch = made.split(split).__getitems__(list(range(len(rows))))
        assert torch.equal(batch.inputs, torch.from_numpy(inputs[rows]))
        assert torch.equal(batch.targets, torch.from_numpy(targets[rows, None]))
        assert batch.lengths is None


def test_gaps_are_left_out_and_reported(tmp_path, task, caplog):
    write_published(tmp_path)
    whole = [task(tmp_path).split(split).targets[:, 0].tolist() for split in SPLITS]
    write_published(tmp_path, gap=11)
    made = task(tmp_path)
    assert "bidmc_hr: 1 of 21 windows have gaps in the signals or in HR; they are left out" in caplog.text
    # The other windows stay in their splits.
    assert [made.split(split).targets[:, 0].tolist() for split in SPLITS] == [
        [target for target in split if target != 11] for split in whole
    ]


@pytest.mark.parametrize("target", ["HR", "RR", "SpO2"])
def test_tables_give_the_same_windows_for_every_target(tables, task, target):
    made = task(tables, target=target, source="tables")
    assert [len(made.split(split)) for split in SPLITS] == [630, 135, 135]
    windows = read_tables(sorted(tables.glob("*_Signals.csv")), target)
    rows = shuffled(900, 0.3, seed=0)[0]
    np.testing.assert_array_equal(made.split("train").inputs[:9], windows.inputs[rows[:9]])
    np.testing.assert_array_equal(made.split("train").targets, windows.targets[rows])


def test_a_patient_is_in_one_split(tables, task):
    made = task(tables, source="tables", split_by="patient")
    windows = read_tables(sorted(tables.glob("*_Signals.csv")), "HR")
    patient_of = {window.tobytes(): patient for window, patient in zip(windows.inputs, windows.patients, strict=True)}
    patients = [{patient_of[window.tobytes()] for window in made.split(split).inputs} for split in SPLITS]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 5
    assert sum(len(made.split(split)) for split in SPLITS) == 900


def test_fewer_recordings_are_reported(tables, task, caplog):
    task(tables, source="tables")
    assert "6 recordings, not the 53 published ones" in caplog.text


def test_tables_are_unpacked_and_found_below(tables, tmp_path, task):
    data = tmp_path / "data"
    data.mkdir()
    with ZipFile(data / "bidmc-ppg-and-respiration-dataset-1.0.0.zip", "w") as archive:
        for path in tables.iterdir():
            archive.write(path, f"bidmc-ppg-and-respiration-dataset-1.0.0/bidmc_csv/{path.name}")
    assert len(task(data, source="tables").split("val")) == 135


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ts", r"BIDMC32HR_TRAIN\.ts: missing, and downloading is off; by hand: download https://zenodo\.org/record/4001456"),
        ("tables", r"1\.0\.0\.zip: missing, and downloading is off; by hand: download the ZIP file of https://physionet"),
    ],
)  # fmt: skip
def test_nothing_there_says_where_to_get_it(tmp_path, task, source, message):
    with pytest.raises(DataError, match=message):
        task(tmp_path / "none", source=source)


def test_unprepared_windows_say_what_to_do(tmp_path):
    made = Bidmc(data_dir=tmp_path, target="RR", name="bidmc_rr", batch_size=1)
    assert not made.present()
    with pytest.raises(DataError, match=r"not prepared; run scripts/prepare_data\.py data=bidmc_rr"):
        made.split("train")


def test_too_few_windows_are_refused(tmp_path, task):
    inputs, targets = np.zeros((2, 4000, 2)), [1.0, 2.0]
    write_ts(tmp_path / "BIDMC32HR_TRAIN.ts", inputs[:1], targets[:1])
    write_ts(tmp_path / "BIDMC32HR_TEST.ts", inputs[1:], targets[1:])
    with pytest.raises(DataError, match="too few windows without gaps for a val split"):
        task(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "BP"}, r"data\.target=BP: must be HR or RR or SpO2"),
        ({"target": "HR", "source": "mat"}, r"data\.source=mat: must be ts or tables"),
        ({"target": "HR", "split_by": "day"}, r"data\.split_by=day: must be window or patient"),
        ({"target": "HR", "split_by": "patient"}, r"data\.split_by=patient: the \.ts files do not name patients; set"),
    ],
)
def test_impossible_options(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        Bidmc(data_dir=tmp_path, name="x", batch_size=1, **options)


def test_preview(tmp_path, task):
    write_published(tmp_path)
    made = task(tmp_path)
    (kind, (samples, rate), label), _ = made.preview("val", [1, 0])
    assert (kind, rate, label) == ("wave", 125, f"HR {made.split('val').targets[1, 0]:.1f} beats a minute")
    np.testing.assert_array_equal(samples, made.split("val").inputs[1])


@pytest.mark.parametrize("target", ["HR", "RR", "SpO2"])
def test_configs_name_the_tasks(tmp_path, target):
    name = f"bidmc_{target.lower()}"
    made = instantiate(compose("train", [f"data={name}", f"paths.data={tmp_path}", "seed=7"]).data)
    assert made.spec == TaskSpec(name, "continuous", 2, 1, 4000, loss="mse")
    assert (made.target, made.data_dir, made.seed, made.batch_size) == (target, tmp_path / "bidmc", 7, 32)
    assert f"BIDMC32{target}_TRAIN.ts" in made.sources[0].url


@pytest.mark.skipif(not list(REAL.rglob("bidmc_*_Signals.csv")), reason="needs BIDMC's tables in the data folder")
@pytest.mark.parametrize(("target", "gaps"), [("HR", 12), ("RR", 153), ("SpO2", 128)])
def test_the_published_tables(task, target, gaps):
    made = task(REAL, target=target, source="tables")
    splits = [made.split(split) for split in SPLITS]
    assert sum(map(len, splits)) == 53 * 150 - gaps
    number, window = divmod(int(shuffled(53 * 150, 0.3, seed=0)[0][0]), 150)
    table = pyarrow.csv.read_csv(made._files[number])
    for channel, column in enumerate((" PLETH", " II")):
        expected = table[column].to_numpy()[375 * window :][:4000].astype(np.float32)
        np.testing.assert_array_equal(splits[0].inputs[0, :, channel], expected)
