"""Text: is a film review positive or negative, read character by character?

Source: Maas et al. (ACL 2011), https://ai.stanford.edu/~amaas/data/sentiment/; 25,000 reviews to train on and 25,000 to
test, half of each positive; free for research, no licence stated. The published pipelines (S4, S5) cut reviews to 4,095
characters, count characters in the training texts and keep those that occur at least 15 times, which gives 134 ids with
`<pad>`, `<unk>` and `<eos>`; the published models have 135 inputs, of which the last is thus never used.

There is no published validation split: published results select on the test set (protocol "paper"). By default
(protocol "heldout") a tenth of the training reviews of each class is held out; a hash of the text decides which, so the
split is the same from every form of the files, and no text stands on both sides. The vocabulary is always that of all
25,000 training reviews, so ids agree between both protocols.
"""

from functools import cache
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np

from longrange.data.cache import SequenceDataset, Sequences, cache_folder, ensure_cache, open_split
from longrange.data.characters import BYTES, Vocabulary, as_bytes, decode, encode_all, published_vocabulary
from longrange.data.fetch import Source, fetch
from longrange.data.module import SequenceDataModule, Split
from longrange.data.text_files import ARCHIVE, LABELS, Reviews, find, read
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

N_CHARACTER_IDS = 135
HELD_OUT_SHARE = 0.1

SOURCE = Source(
    url=f"https://ai.stanford.edu/~amaas/data/sentiment/{ARCHIVE}",
    name=ARCHIVE,
    size=84_125_825,
    checksum="md5:7c2ac02c03563afcf9b574c7e56c153a",
)


class Text(SequenceDataModule):
    """IMDB reviews as characters or bytes.

    Args:
        data_dir: holds the folder `aclImdb`, its archive `aclImdb_v1.tar.gz`, or the parquet files `train*.parquet` and
            `test*.parquet` of the Hugging Face data set `imdb`; where it holds none, the archive is downloaded into it.
        cache_dir: folder of the encoded data; `data_dir/cache` where None.
        tokens: "characters", or "bytes" of UTF-8 (256 ids and the special ones).
        max_length: longest sequence in steps, `<eos>` included; longer ones are cut.
        min_freq: fewest occurrences of a character in the training texts; rarer ones become `<unk>`.
        protocol: "heldout" or "paper", see above.
        reviews_per_class: how many of each class there must be in train and in test; None where any number will do.
        download: whether absent files may be downloaded.
        name: the task's name in its spec.
        options: batch size and loader options, see `SequenceDataModule`.

    Raises:
        ConfigError: a value is out of range.
    """

    classes = ("negative", "positive")

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        tokens: Literal["characters", "bytes"] = "characters",
        max_length: int = 4096,
        min_freq: int = 15,
        protocol: Literal["heldout", "paper"] = "heldout",
        reviews_per_class: int | None = 12_500,
        download: bool = True,
        name: str = "text",
        **options,
    ):
        super().__init__(**options)
        if max_length < 2:
            raise ConfigError(f"data.max_length={max_length}: must be at least 2, a token and the end mark")
        if tokens not in ("characters", "bytes"):
            raise ConfigError(f"data.tokens={tokens}: must be characters or bytes")
        if protocol not in ("heldout", "paper"):
            raise ConfigError(f"data.protocol={protocol}: must be heldout or paper")
        self.data_dir = Path(data_dir).expanduser()
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else self.data_dir / "cache"
        self.tokens, self.max_length, self.min_freq = tokens, max_length, min_freq
        self.protocol, self.reviews_per_class, self.download, self.name = protocol, reviews_per_class, download, name

    @property
    def spec(self) -> TaskSpec:
        """135 characters or 259 bytes in, 2 classes out."""
        ids = N_CHARACTER_IDS if self.tokens == "characters" else len(BYTES)
        return TaskSpec(self.name, "tokens", ids, len(LABELS), self.max_length, variable_length=True)

    @property
    def sources(self) -> list[Source]:
        """The published archive."""
        return [SOURCE]

    def present(self) -> bool:
        """Whether there are files to read."""
        return bool(find(self.data_dir))

    def prepare_data(self) -> None:
        """Download the archive where there is nothing to read, and encode the reviews where that has not been done.

        Raises:
            DataError: the files are absent and cannot be downloaded, one is at fault, or a place cannot be written.
        """
        if not self.present():
            fetch(SOURCE, self.data_dir, download=self.download)
        reviews = cache(self._read)  # needed for every split, read once
        vocabulary = cache(lambda: self._vocabulary(reviews()["train"].texts))
        ensure_cache(
            self._cache,
            self._stored,
            encode=lambda split: self._encode(reviews(), split, vocabulary()),
            symbols=lambda: vocabulary().symbols,
        )

    def split(self, name: Split) -> SequenceDataset:
        """The encoded examples of one split, memory-mapped; with protocol "paper" the validation split is the test set.

        Raises:
            DataError: the data has not been prepared.
        """
        if name == "val" and self.protocol == "paper":
            name = "test"
        return open_split(self._cache, name, self.name)

    def preview(self, split: Split, indices: list[int]) -> list[tuple[str, str, str]]:
        """Some examples for people: "text", the review as the model reads it, its label."""
        data = self.split(split)
        return [("text", self._text(data, i), self.classes[data.targets[i]]) for i in indices]

    @property
    def _stored(self) -> tuple[Split, ...]:
        return ("train", "val", "test") if self.protocol == "heldout" else ("train", "test")

    @property
    def _cache(self) -> Path:
        options = {"max_length": self.max_length, "tokens": self.tokens, "min_freq": self.min_freq}
        paths = find(self.data_dir)
        missing = [str(path) for path in paths if not path.exists()]
        if not paths:
            raise DataError(f"{self.data_dir}: holds no reviews; run scripts/prepare_data.py data={self.name}")
        if missing:
            raise DataError(f"{', '.join(missing)}: missing; unpack {ARCHIVE} again")
        return cache_folder(self.cache_dir, self.name, paths, options | {"protocol": self.protocol})

    def _read(self) -> dict[str, Reviews]:
        reviews = read(find(self.data_dir))
        for split, (_, labels) in reviews.items():
            counts = [labels.count(label) for label in range(len(LABELS))]
            if min(counts) == 0 or self.reviews_per_class not in (None, *counts) or counts[0] != counts[1]:
                raise DataError(
                    f"{self.data_dir}: {split} has {counts[0]:,} negative and {counts[1]:,} positive reviews, not "
                    f"{self.reviews_per_class or 'some'} of each; unpack or download it again"
                )
        return reviews

    def _vocabulary(self, texts: list[str]) -> Vocabulary:
        if self.tokens == "bytes":
            return BYTES
        return published_vocabulary(texts, self.max_length, self.min_freq, N_CHARACTER_IDS)

    def _encode(self, reviews: dict[str, Reviews], split: str, vocabulary: Vocabulary) -> Sequences:
        texts, labels = reviews["test" if split == "test" else "train"]
        if split != "test" and self.protocol == "heldout":
            chosen = [held == (split == "val") for held in held_out(texts, labels)]
            texts, labels = list(compress(texts, chosen)), list(compress(labels, chosen))
        pieces = map(as_bytes, texts) if self.tokens == "bytes" else texts
        values, lengths = encode_all(pieces, vocabulary, self.max_length, self.cache_dir)
        return Sequences(values, lengths, np.array(labels))

    def _text(self, data: SequenceDataset, index: int) -> str:
        text = decode(data.row(index), data.symbols)
        return text.encode("latin-1").decode(errors="replace") if self.tokens == "bytes" else text


def held_out(texts: list[str], labels: list[int]) -> list[bool]:
    """Which training reviews the validation split takes: a tenth of each class, those with the lowest hashes.

    Args:
        texts, labels: of the training reviews.
    Returns:
        for each, whether it is held out; equal texts of one class share their fate.
    """
    hashes = [blake2b(text.encode(), digest_size=8).digest() for text in texts]
    highest = {}
    for label in set(labels):
        ranked = sorted(h for h, own in zip(hashes, labels, strict=True) if own == label)
        highest[label] = ranked[max(1, round(HELD_OUT_SHARE * len(ranked))) - 1]
    return [h <= highest[label] for h, label in zip(hashes, labels, strict=True)]
