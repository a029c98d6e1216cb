"""Speech Commands clips as arrays: chosen, split, read, turned into features, with the training split's statistics."""

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from longrange.data.arrays import Arrays
from longrange.data.held_out import stratified
from longrange.data.mfcc import mfcc
from longrange.data.normalise import Moments, drop
from longrange.data.speech_clips import (
    COMMANDS,
    RATE,
    SAMPLES,
    Clips,
    clip_lengths,
    find_clips,
    official_split,
    read_clips,
)

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
STATISTICS = "statistics"
PUBLISHED_CLIPS = {35: 105_829, 10: 34_975}
DROP_SEED = 56789


class Encoding:
    """A task's clips, split by split. Nothing is read before it is asked for.

    Args:
        folder: of the word folders and, for all words, of the official lists.
        words: `WORDS`, split as the lists say, or `COMMANDS`, without short clips, split at random.
        features: "raw" or "mfcc".
        dropped: share of the steps of every clip that are taken away, see `drop`.
        name: the task's name, for messages.
    """

    def __init__(self, folder: Path, words: Sequence[str], features: Literal["raw", "mfcc"], dropped: float, name: str):
        self.folder, self.words, self.features, self.dropped, self.name = folder, words, features, dropped, name
        self.moments = Moments((0,) if features == "raw" else (0, 1), masked=dropped > 0)

    def encode(self, split: str) -> Arrays:
        """One of `SPLITS`; or `STATISTICS`, mean and deviation of "train", once that has been written.

        Returns:
            Inputs (n, 16000, 1) int16 samples or (n, 161, 20) float32 coefficients, in parts; targets (n,) int64.
            Statistics: (2, 16000, 1) float64, by time step, or (2, 20), by coefficient.
        Raises:
            DataError: a clip or a list is missing or damaged.
        """
        if split == STATISTICS:
            return Arrays(self.moments.mean_and_deviation(), np.zeros(2, np.int64))
        rows = self._rows[split]
        return Arrays(self._parts(split, self._clips.names[rows]), self._clips.targets[rows])

    def _parts(self, split: str, names: np.ndarray) -> Iterator[np.ndarray]:
        rng = np.random.default_rng((DROP_SEED, SPLITS.index(split)))
        for samples in read_clips(self.folder, names, f"reading {self.name} {split}"):
            part = samples[..., None] if self.features == "raw" else _coefficients(samples)
            if self.dropped:
                drop(part, self.dropped, rng)
            if split == "train":
                self.moments.add(part)
            yield part

    @cached_property
    def _clips(self) -> Clips:
        clips = find_clips(self.folder, self.words)
        if self.words is COMMANDS:
            whole = clip_lengths(self.folder, clips.names) == SAMPLES
            log.info("%s: %d clips shorter than a second are left out", self.name, (~whole).sum())
            clips = Clips(clips.names[whole], clips.targets[whole])
        published = PUBLISHED_CLIPS[len(self.words)]
        if len(clips.names) != published:
            message = "%s: %d clips, not the %d published ones; scores do not compare with published ones"
            log.warning(message, self.folder, len(clips.names), published)
        return clips

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        if self.words is not COMMANDS:
            return official_split(self.folder, self._clips.names)
        train, rest = stratified(self._clips.targets, 0.7, seed=0)
        val, test = stratified(self._clips.targets[rest], 0.5, seed=1)
        return {"train": train, "val": rest[val], "test": rest[test]}


def _coefficients(samples: np.ndarray) -> np.ndarray:
    return mfcc(torch.from_numpy(samples / np.float32(2**15)), RATE).numpy()
