"""Readers of sound and of medical signals get damaged files: one line of ours, or arrays of the right shape.

A few cases in the suite; thousands, ever new ones: `FUZZ_CASES=5000 pytest tests/fuzz/test_*_readers.py`.
"""

import io

import numpy as np
import pytest
import soundfile
from bidmc_files import write_recording
from fuzz.damage import damaged, fuzzed, outcome
from hypothesis import given

from longrange.data import bidmc_files
from longrange.data.bidmc_files import read_tables, read_ts
from longrange.data.speech_clips import official_split, read_clip

pytestmark = pytest.mark.slow

NAMES = [f"{word}/{k:04x}_nohash_0.wav" for word in ("bed", "go") for k in range(4)]
LIST = "".join(f"{name}\n" for name in NAMES[1::2]).encode()
SERIES = b"# comment\n@problemName Small\n@data\n" + b"0.5,-1e2,?:7,8,9:66.25\n" * 3


def wave(n: int = 300, rate: int = 16_000, channels: int = 1, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    made = io.BytesIO()
    samples = np.random.default_rng(0).integers(-2000, 2000, (n, channels)).astype(np.int16)
    soundfile.write(made, samples, rate, format=kind, subtype=subtype)
    return made.getvalue()


@fuzzed(80)
@given(damaged(wave()))
def test_waves(tmp_path, content):
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    samples = outcome(lambda: read_clip(path))
    assert samples is None or (samples.dtype == np.int16 and samples.ndim == 1 and 0 < len(samples) <= 16_000)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "AIFF", "CAF"])
def test_other_sounds_are_not_read_to_their_end(tmp_path, kind):
    """An hour of silence is a small file in some formats."""
    made = io.BytesIO()
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    soundfile.write(made, np.zeros(16_000 * 60, np.int16), 16_000, format=kind, subtype=subtype)
    (tmp_path / "x.wav").write_bytes(made.getvalue())
    assert outcome(lambda: read_clip(tmp_path / "x.wav")) is None


@fuzzed(40)
@given(damaged(LIST))
def test_lists_of_clips(tmp_path, content):
    for file in ("validation_list.txt", "testing_list.txt"):
        (tmp_path / file).write_bytes(content if file < "u" else b"bed/0000_nohash_0.wav\n")
    split = outcome(lambda: official_split(tmp_path, NAMES))
    if split:
        assert sorted(np.concatenate(list(split.values()))) == list(range(len(NAMES)))


@fuzzed(60)
@given(content=damaged(SERIES))
def test_series(tmp_path, monkeypatch, content):
    monkeypatch.setattr(bidmc_files, "STEPS", 3)
    path = tmp_path / "x.ts"
    path.write_bytes(content)
    windows = outcome(lambda: read_ts([path]))
    if windows:
        assert windows.inputs.shape[1:] == (3, 2)
        assert windows.targets.shape == (len(windows.inputs), 1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """One recording, and its files' contents by what they are."""
    folder = tmp_path_factory.mktemp("bidmc")
    write_recording(folder, 1, "s01840")
    files = {kind: folder / f"bidmc_01_{kind}" for kind in ("Signals.csv", "Numerics.csv", "Fix.txt")}
    return folder, {path: path.read_bytes() for path in files.values()}


@pytest.mark.parametrize("number", [0, 1, 2], ids=["signals", "figures", "patient"])
def test_tables(recording, number):
    folder, contents = recording
    path = list(contents)[number]

    @fuzzed(20)
    @given(damaged(contents[path]))
    def fuzz(content):
        path.write_bytes(content)
        windows = outcome(lambda: read_tables([folder / "bidmc_01_Signals.csv"], "HR"))
        if windows:
            assert windows.inputs.shape == (150, 4000, 2)
            assert windows.targets.shape == (150, 1)
            assert windows.patients.nbytes < 10**6

    try:
        fuzz()
    finally:
        path.write_bytes(contents[path])


def test_what_is_whole_is_read(tmp_path, recording, monkeypatch):
    """The fuzz tests would pass if everything were refused."""
    (tmp_path / "x.wav").write_bytes(wave())
    assert len(outcome(lambda: read_clip(tmp_path / "x.wav"))) == 300
    for file, content in (("validation_list.txt", LIST), ("testing_list.txt", b"bed/0000_nohash_0.wav\n")):
        (tmp_path / file).write_bytes(content)
    assert len(outcome(lambda: official_split(tmp_path, NAMES))["val"]) == 4
    assert len(outcome(lambda: read_tables([recording[0] / "bidmc_01_Signals.csv"], "HR")).inputs) == 150
    monkeypatch.setattr(bidmc_files, "STEPS", 3)
    (tmp_path / "x.ts").write_bytes(SERIES)
    assert outcome(lambda: read_ts([tmp_path / "x.ts"])).targets.tolist() == [[66.25]] * 3
