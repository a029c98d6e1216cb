"""Finding, splitting and reading clips; every foreign or damaged file is named in one line."""

import numpy as np
import pytest
import soundfile
from wave_files import noise, write_wave, write_words

from longrange.data.speech_clips import (
    COMMANDS,
    WORDS,
    clip_lengths,
    find_clips,
    official_split,
    read_clip,
    read_clips,
)
from longrange.errors import DataError


@pytest.fixture
def made(tmp_path):
    """Three words, five clips each, the last of them short."""
    return tmp_path, write_words(tmp_path, ["go", "up", "bed"], each=5, short=1)


def test_words_are_the_published_ones():
    assert (len(set(WORDS)), len(set(COMMANDS))) == (35, 10)
    assert set(COMMANDS) < set(WORDS)
    assert (WORDS[0], WORDS[16], WORDS[34]) == ("bed", "yes", "zero")


def test_clips_come_by_word_in_label_order(made):
    clips = find_clips(made[0], ["up", "go"])
    assert clips.names.tolist() == [f"{word}/{k:04x}_nohash_0.wav" for word in ("up", "go") for k in range(5)]
    assert clips.targets.tolist() == [0] * 5 + [1] * 5


def test_other_files_are_no_clips(made):
    (made[0] / "go" / ".DS_Store").touch()
    assert len(find_clips(made[0], ["go"]).names) == 5


def test_missing_words_are_named(made):
    (made[0] / "zero").mkdir()
    with pytest.raises(DataError, match=r"no clips of zero, cat; unpack speech_commands_v0\.02\.tar\.gz again"):
        find_clips(made[0], ["go", "zero", "cat"])


def test_the_lists_decide_the_split(made):
    names = find_clips(made[0], ["bed", "go", "up"]).names
    split = official_split(made[0], names)
    for part, clip in (("val", "0001"), ("test", "0002")):
        assert names[split[part]].tolist() == [f"{word}/{clip}_nohash_0.wav" for word in ("bed", "go", "up")]
    assert sorted(np.concatenate(list(split.values()))) == list(range(15))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("go/ffff_nohash_0.wav", r"testing_list\.txt, line 4: there is no clip 'go/ffff_nohash_0\.wav'"),
        ("go/0001_nohash_0.wav", r"testing_list\.txt, line 4: go/0001_nohash_0\.wav has been listed before"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(made, line, message):
    with (made[0] / "testing_list.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=message):
        official_split(made[0], find_clips(made[0], ["bed", "go", "up"]).names)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_unreadable_list_is_named(made, content):
    path = made[0] / "validation_list.txt"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"validation_list\.txt: cannot be read \((No such file|not text)"):
        official_split(made[0], find_clips(made[0], ["go"]).names)


def test_clips_are_read_in_order_and_filled_up(made, monkeypatch):
    monkeypatch.setattr("longrange.data.speech_clips._BLOCK", 4)
    folder, clips = made
    blocks = list(read_clips(folder, list(clips), "reading"))
    assert [len(block) for block in blocks] == [4, 4, 4, 3]
    for row, samples in zip(np.concatenate(blocks), clips.values(), strict=True):
        np.testing.assert_array_equal(row[: len(samples)], samples)
        assert not row[len(samples) :].any()


def test_lengths(made):
    folder, clips = made
    assert clip_lengths(folder, list(clips)).tolist() == [len(samples) for samples in clips.values()]


def damage(path, kind):
    if kind == "missing":
        path.unlink()
    elif kind == "rate":
        write_wave(path, noise(0), rate=8_000)
    elif kind == "channels":
        write_wave(path, np.stack([noise(0), noise(1)], axis=1))
    elif kind == "subtype":
        write_wave(path, noise(0), subtype="PCM_24")
    elif kind == "flac":
        soundfile.write(path, noise(0), 16_000, format="FLAC", subtype="PCM_16")
    elif kind == "long":
        write_wave(path, noise(0, 16_001))
    else:
        path.write_bytes({"text": b"no sound", "empty": b"", "cut": path.read_bytes()[:20_000]}.get(kind))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"cannot be read \(No such file or directory\)"),
        ("text", r"damaged or not a WAV file \(Format not recognised\)"),
        ("empty", r"damaged or not a WAV file"),
        ("cut", r"is cut off, 20000 of 32044 bytes"),
        ("rate", r"is WAV PCM_16 with 1 channel at 8000 Hz, not WAV PCM_16 with 1 channel at 16000 Hz"),
        ("channels", r"is WAV PCM_16 with 2 channels at 16000 Hz, not"),
        ("subtype", r"is WAV PCM_24 with 1 channel at 16000 Hz, not"),
        ("flac", r"is FLAC PCM_16 with 1 channel at 16000 Hz, not"),
        ("long", "does not hold 1 to 16000 samples"),
    ],
)
def test_a_bad_clip_is_named(made, kind, message):
    path = made[0] / "go" / "0000_nohash_0.wav"
    damage(path, kind)
    with pytest.raises(DataError, match=rf"go/0000_nohash_0\.wav: {message}.*; unpack .* again$"):
        read_clip(path)


def test_a_clip_without_samples_is_refused(tmp_path):
    write_wave(tmp_path / "x.wav", noise(0, 0))
    with pytest.raises(DataError, match=r"x\.wav: does not hold 1 to 16000 samples"):
        read_clip(tmp_path / "x.wav")
