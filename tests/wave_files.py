"""A folder in the layout of Speech Commands, with short noises instead of words."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile


def write_wave(path: Path, samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> None:
    """Write one file, (n,) or (n, channels) int16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype, format="WAV")


def noise(seed: int, n: int = 16_000) -> np.ndarray:
    """(n,) int16."""
    return np.random.default_rng(seed).integers(-2000, 2000, n).astype(np.int16)


def write_words(folder: Path, words: Sequence[str], each: int, short: int = 0) -> dict[str, np.ndarray]:
    """Write `each` clips of every word and the two lists: the second clip is validation data, the third test data.

    Args:
        folder: made anew.
        words: names of the folders.
        each: clips of a word, at least 3.
        short: how many of them, from the last, are shorter than a second.
    Returns:
        Samples by name.
    """
    clips = {}
    for i, word in enumerate(words):
        for k in range(each):
            clips[f"{word}/{k:04x}_nohash_0.wav"] = noise(1000 * i + k, 16_000 if k < each - short else 9_000 + i)
    for name, samples in clips.items():
        write_wave(folder / name, samples)
    for file, k in (("validation_list.txt", 1), ("testing_list.txt", 2)):
        (folder / file).write_text("".join(f"{word}/{k:04x}_nohash_0.wav\n" for word in words))
    return clips
