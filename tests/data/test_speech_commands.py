"""The Speech Commands tasks, on small folders in the published layout."""

import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from paths import ROOT
from wave_files import write_words

from longrange.cli import compose
from longrange.data import speech_commands
from longrange.data.mfcc import mfcc
from longrange.data.speech_clips import COMMANDS, WORDS
from longrange.data.speech_commands import SpeechCommands
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

REAL = Path(os.environ.get("LONGRANGE_DATA", ROOT / "data")) / "speech_commands"
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def all_words(tmp_path_factory):
    """35 words, four clips each, the last one short; and their samples."""
    folder = tmp_path_factory.mktemp("all")
    return folder, write_words(folder, WORDS, each=4, short=1)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Ten words, eleven clips each, the last one short; and their samples."""
    folder = tmp_path_factory.mktemp("commands")
    return folder, write_words(folder, COMMANDS, each=11, short=1)


@pytest.fixture
def task(tmp_path):
    def prepared(folder, **options) -> SpeechCommands:
        task = SpeechCommands(data_dir=folder, cache_dir=tmp_path, batch_size=4, download=False, **options)
        task.prepare_data()
        return task

    return prepared


def whole(dataset):
    return dataset.__getitems__(list(range(len(dataset))))


def padded(clips, names):
    return np.stack([np.pad(clips[name], (0, 16_000 - len(clips[name]))) for name in names]).astype(np.float64)


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ({}, TaskSpec("sc35", "continuous", 1, 35, 16_000)),
        ({"sample_rate": 4_000}, TaskSpec("sc35", "continuous", 1, 35, 4_000)),
        ({"words": 10, "dropped": 30, "name": "x"}, TaskSpec("x", "continuous", 2, 10, 16_000)),
        ({"words": 10, "features": "mfcc"}, TaskSpec("sc35", "continuous", 20, 10, 161)),
    ],
)
def test_spec_needs_no_data(tmp_path, options, spec):
    assert SpeechCommands(data_dir=tmp_path / "none", batch_size=1, **options).spec == spec


def test_all_words_are_split_as_listed_and_normalised_by_training_clips(all_words, task):
    folder, clips = all_words
    made = task(folder)
    assert [len(made.split(split)) for split in SPLITS] == [70, 35, 35]
    names = {split: [f"{w}/{k:04x}_nohash_0.wav" for w in WORDS for k in ks] for split, ks in
             (("train", (0, 3)), ("val", (1,)), ("test", (2,)))}  # fmt: skip
    published = {split: padded(clips, names[split]) / 2**30 for split in SPLITS}
    mean, deviation = published["train"].mean(0), published["train"].std(0, ddof=1)
    for split in SPLITS:
        inputs, lengths, targets = whole(made.split(split))
        assert lengths is None
        assert targets.tolist() == [WORDS.index(name.split("/")[0]) for name in names[split]]
        expected = (published[split] - mean) / (deviation + 1e-5)
        np.testing.assert_allclose(inputs[..., 0].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_commands_are_whole_seconds_in_equal_shares(commands, task):
    folder, clips = commands
    made = task(folder, words=10, name="sc10")
    for split, each in zip(SPLITS, (7, 1.5, 1.5), strict=True):
        counts = np.bincount(made.split(split).targets, minlength=10)
        assert np.abs(counts - each).max() <= 0.5
    rows = np.concatenate([made.split(split).inputs[..., 0] for split in SPLITS])
    assert {row.tobytes() for row in rows} == {clip.tobytes() for clip in clips.values() if len(clip) == 16_000}


def test_half_the_sample_rate_is_every_second_sample_and_needs_no_new_cache(commands, task, monkeypatch):
    full = task(commands[0], words=10)
    monkeypatch.setattr(speech_commands.Encoding, "encode", lambda *_: pytest.fail("encoded again"))
    half = task(commands[0], words=10, sample_rate=8_000)
    assert half.spec.max_length == 8_000
    batches = [whole(task.split("val")) for task in (full, half)]
    assert torch.equal(batches[0].inputs[:, ::2], batches[1].inputs)
    assert torch.equal(batches[0].targets, batches[1].targets)


def test_dropped_samples_are_zero_and_marked(commands, task):
    kept, made = (whole(task(commands[0], words=10, dropped=share).split("train")) for share in (0, 25))
    there = made.inputs[..., 1] == 1
    assert (there.sum(1) == 12_000).all()
    assert (made.inputs[~there] == 0).all()
    assert torch.equal(made.targets, kept.targets)
    np.testing.assert_array_equal(whole(task(commands[0], words=10, dropped=25).split("train")).inputs, made.inputs)
    # Other samples make other statistics, but nearly these.
    assert torch.corrcoef(torch.stack([made.inputs[..., 0][there], kept.inputs[..., 0][there]]))[0, 1] > 0.99


@pytest.mark.parametrize("dropped", [0, 50])
def test_coefficients_are_normalised_by_channel(commands, task, dropped):
    made = task(commands[0], words=10, features="mfcc", dropped=dropped)
    raw = task(commands[0], words=10).split("train").inputs[..., 0]
    inputs = whole(made.split("train")).inputs.numpy()
    there = inputs[..., -1] == 1 if dropped else np.ones(inputs.shape[:2], bool)
    assert inputs.shape == (70, 161, 21 if dropped else 20)
    assert (there.sum(1) == (81 if dropped else 161)).all()
    values = mfcc(torch.from_numpy(raw / np.float32(2**15)), 16_000).numpy()[there]
    expected = (values - values.mean(0, dtype=np.float64)) / values.std(0, ddof=1, dtype=np.float64)
    np.testing.assert_allclose(inputs[there][:, :20], expected, rtol=1e-3, atol=2e-3)
    assert not inputs[~there].any()


def test_the_archive_is_unpacked_without_what_is_not_needed(all_words, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / "speech_commands_v0.02.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(all_words[0], arcname=".")
        tar.add(__file__, arcname="./_background_noise_/README.md")
    monkeypatch.setattr(speech_commands, "ARCHIVE", replace(speech_commands.ARCHIVE, checksum=None))
    task = SpeechCommands(data_dir=tmp_path / "data", batch_size=4, download=False)
    assert not task.present()
    task.prepare_data()
    assert task.present()
    assert len(task.split("val")) == 35
    assert not (tmp_path / "data" / "_background_noise_").exists()


def test_an_inner_folder_is_found(commands, tmp_path, task):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "speech_commands_v0.02").symlink_to(commands[0])
    assert len(task(tmp_path / "data", words=10).split("test")) == 15


def test_nothing_there_says_where_to_get_it(tmp_path):
    task = SpeechCommands(data_dir=tmp_path / "none", batch_size=4, download=False)
    assert not task.present()
    with pytest.raises(DataError, match=r"missing, and downloading is off; by hand: download http://download\.tensor"):
        task.prepare_data()
    with pytest.raises(DataError, match=r"none: no bed, cat, .*run scripts/prepare_data\.py data=sc35$"):
        task.split("train")


def test_a_part_of_the_clips_is_not_downloaded_over(commands, tmp_path):
    task = SpeechCommands(data_dir=commands[0], cache_dir=tmp_path, batch_size=4)
    with pytest.raises(DataError, match=r"no bed, cat, five, .*remove what is left of the clips and run"):
        task.prepare_data()


def test_unprepared_clips_say_what_to_do(commands, tmp_path):
    task = SpeechCommands(data_dir=commands[0], cache_dir=tmp_path, batch_size=4, words=10, name="sc10")
    with pytest.raises(DataError, match=r"not prepared; run scripts/prepare_data\.py data=sc10"):
        task.split("train")


def test_a_number_of_clips_that_is_not_the_published_one_is_reported(commands, task, caplog):
    task(commands[0], words=10)
    assert "100 clips, not the 34975 published ones; scores do not compare with published ones" in caplog.text


def test_preview(commands, task):
    made = task(commands[0], words=10, sample_rate=8_000)
    (kind, (samples, rate), word), _ = made.preview("train", [69, 0])
    assert (kind, rate, word) == ("wave", 8_000, "go")
    np.testing.assert_allclose(samples * 2**15, made.split("train").inputs[69, ::2, 0])
    gaps = task(commands[0], words=10, dropped=25).preview("train", [0])[0][1][0]
    assert np.isnan(gaps).sum() == 4_000
    (kind, image, word), = task(commands[0], words=10, features="mfcc").preview("val", [0])  # fmt: skip
    assert (kind, image.shape, image.dtype, word) == ("image", (20, 161), np.uint8, "yes")
    assert (image.min(), image.max()) == (0, 255)


def test_splits_travel_to_loader_processes(commands, task):
    split = task(commands[0], words=10).split("val")
    assert torch.equal(pickle.loads(pickle.dumps(split)).__getitems__([3, 1]).inputs, split.__getitems__([3, 1]).inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": 12}, r"data\.words=12: must be 35 or 10"),
        ({"features": "mel"}, r"data\.features=mel: must be raw or mfcc"),
        ({"sample_rate": 0}, r"data\.sample_rate=0: must divide 16000"),
        ({"sample_rate": 6_000}, r"data\.sample_rate=6000: must divide 16000"),
        ({"sample_rate": 32_000}, r"data\.sample_rate=32000: must divide 16000"),
        (
            {"sample_rate": 8_000, "features": "mfcc"},
            r"data\.sample_rate=8000: raw samples only; set data\.features=raw",
        ),
        ({"dropped": 100}, r"data\.dropped=100: must be at least 0 and less than 100, percent"),
    ],
)
def test_impossible_options(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        SpeechCommands(data_dir=tmp_path, batch_size=4, **options)


@pytest.mark.parametrize(("name", "channels", "classes", "batch"), [("sc35", 1, 35, 16), ("sc10", 1, 10, 20),
                                                                    ("sc10_mfcc", 20, 10, 100)])  # fmt: skip
def test_configs_name_the_tasks(tmp_path, name, channels, classes, batch):
    task = instantiate(compose("train", [f"data={name}", f"paths.data={tmp_path}", "seed=7"]).data)
    steps = 161 if channels == 20 else 16_000
    assert task.spec == TaskSpec(name, "continuous", channels, classes, steps)
    assert (task.data_dir, task.seed, task.batch_size, task.protocol) == (
        tmp_path / "speech_commands", 7, batch, "heldout"
    )  # fmt: skip


@pytest.mark.skipif(not REAL.is_dir(), reason="needs Speech Commands in the data folder")
def test_the_published_clips(tmp_path):
    task = SpeechCommands(data_dir=REAL, cache_dir=tmp_path, batch_size=1, words=10)
    task.prepare_data()
    splits = [task.split(name) for name in SPLITS]
    shares = np.stack([np.bincount(split.targets, minlength=10) / len(split) for split in splits])
    assert np.abs(shares - shares[0]).max() < 0.02
    for i in (0, len(splits[1]) // 2, len(splits[1]) - 1):
        files = sorted((task._folder / COMMANDS[splits[1].targets[i]]).glob("*.wav"))
        assert any(np.array_equal(soundfile.read(file, dtype="int16")[0], splits[1].inputs[i, :, 0]) for file in files)
