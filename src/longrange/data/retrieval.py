"""Retrieval: does one of two papers cite the other? Each is read alone, character by character.

Source: ACL Anthology Network (Radev et al. 2013; http://aan.how) in the pairs of Long Range Arena (arXiv 2011.04006),
its files `new_aan_pairs.{train,eval,test}.tsv`; 147,086 pairs to train on, and published validation and test files.
They split pairs, not papers: a paper occurs in several pairs and in several splits. No licence stated.

As in the published pipelines (S4, S5), documents are cut to 3,999 characters and every character of the training texts
has an id, 98 in all. Unlike there, a quotation mark is an ordinary character, as in the original benchmark: read as a
quote it would swallow tabs and line ends.

Both documents of a pair go through the same model as rows of their own and meet in its head. In training, batch
normalisation takes its statistics from all rows of a batch, first and second documents together, as published.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from longrange.data.archives import ensure_unpacked
from longrange.data.batch import Batch
from longrange.data.cache import SequenceDataset, Sequences, cache_folder, ensure_cache, open_split
from longrange.data.characters import Vocabulary, decode, encode_all, published_vocabulary
from longrange.data.checksums import check
from longrange.data.fetch import Source
from longrange.data.module import SequenceDataModule, Split
from longrange.data.padding import pad
from longrange.data.retrieval_text import read_rows
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

log = logging.getLogger(__name__)

N_IDS = 98
N_TRAINING_PAIRS = 147_086
FILES = {"train": "new_aan_pairs.train.tsv", "val": "new_aan_pairs.eval.tsv", "test": "new_aan_pairs.test.tsv"}

# The archive holds two copies of some tasks; the published pipelines read the inner folder.
_IN_ARCHIVE = "lra_release/lra_release/tsv_data"
SOURCE = Source(
    url="https://storage.googleapis.com/long-range-arena/lra_release.gz", name="lra_release.gz", size=8_230_000_000
)


class PairDataset(SequenceDataset):
    """One split of pairs, memory-mapped: rows 2i and 2i + 1 of the file are the documents of pair i.

    Args:
        path: an Arrow file whose rows come in pairs of one target.

    Attributes:
        targets: (n,) int64, one for each pair.
        lengths: of each document, (2n,) int64.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self.targets = self.targets[::2]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The batch of these pairs: all first documents, then all second ones, padded with 0 to the longest of all."""
        chosen = np.asarray(indices)
        rows = np.concatenate([2 * chosen, 2 * chosen + 1])
        lengths = self.lengths[rows]
        inputs = pad(self.values, self.starts[rows], lengths)
        return Batch(*(torch.from_numpy(array) for array in (inputs, lengths, self.targets[chosen])))

    @property
    def steps(self) -> np.ndarray:
        """Steps of the longer document of each pair, (n,) int64."""
        return self.lengths.reshape(-1, 2).max(axis=1)


class Retrieval(SequenceDataModule):
    """Pairs of papers as characters.

    Args:
        data_dir: holds the three files, or the unpacked archive of the benchmark; where it holds neither, the archive
            is downloaded into it (8.2 GB) and these files are unpacked.
        cache_dir: folder of the encoded data, 1.2 GB; `data_dir/cache` where None.
        max_length: longest document in steps, `<eos>` included; longer ones are cut.
        download: whether absent files may be downloaded.
        name: the task's name in its spec.
        options: batch size (in pairs) and loader options, see `SequenceDataModule`.

    Raises:
        ConfigError: a value is out of range.
    """

    classes = ("unrelated", "one cites the other")

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        max_length: int = 4000,
        download: bool = True,
        name: str = "retrieval",
        **options,
    ):
        super().__init__(**options)
        if max_length < 2:
            raise ConfigError(f"data.max_length={max_length}: must be at least 2, a token and the end mark")
        self.data_dir = Path(data_dir).expanduser()
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else self.data_dir / "cache"
        self.max_length, self.download, self.name = max_length, download, name

    @property
    def spec(self) -> TaskSpec:
        """Two documents of 98 characters in, 2 classes out."""
        return TaskSpec(
            self.name, "tokens", N_IDS, len(self.classes), self.max_length, variable_length=True, paired=True
        )

    @property
    def sources(self) -> list[Source]:
        """The benchmark's archive, which holds other tasks as well."""
        return [SOURCE]

    def present(self) -> bool:
        """Whether the three files are there."""
        return all(file.is_file() for file in self._files.values())

    def prepare_data(self) -> None:
        """Get the files where they are absent, and encode them where that has not been done.

        Raises:
            DataError: the files are absent and cannot be downloaded, one is at fault, or a place cannot be written.
        """
        members = [f"{_IN_ARCHIVE}/{file}" for file in FILES.values()]
        if not any(file.is_file() for file in self._files.values()):
            ensure_unpacked(SOURCE, self.data_dir, self.present, members, download=self.download)
        vocabulary = cache(self._vocabulary)  # needed for every split, made once
        ensure_cache(
            self._cache,
            list(FILES),
            encode=lambda split: self._encode(split, vocabulary()),
            symbols=lambda: vocabulary().symbols,
        )

    def split(self, name: Split) -> PairDataset:
        """The encoded pairs of one split, memory-mapped.

        Raises:
            DataError: the data has not been prepared.
        """
        return open_split(self._cache, name, self.name, PairDataset)

    def preview(self, split: Split, indices: Sequence[int]) -> list[tuple[str, str, str]]:
        """Some pairs for people: "text", both documents as the model reads them, the label."""
        data = self.split(split)
        documents = [[decode(data.row(2 * i + j), data.symbols) for j in (0, 1)] for i in indices]
        return [
            ("text", "\n\n".join(texts), self.classes[data.targets[i]])
            for i, texts in zip(indices, documents, strict=True)
        ]

    @property
    def _files(self) -> dict[str, Path]:
        """Where each split is: in the first folder of an unpacked archive that holds one."""
        folders = [self.data_dir / part for part in ("", "tsv_data", "lra_release/tsv_data", _IN_ARCHIVE)]
        holding = (folder for folder in folders if any((folder / file).is_file() for file in FILES.values()))
        folder = next(holding, self.data_dir)
        return {split: folder / file for split, file in FILES.items()}

    @property
    def _cache(self) -> Path:
        missing = [str(file) for file in self._files.values() if not file.is_file()]
        if missing:
            raise DataError(
                f"{', '.join(missing)}: missing; run scripts/prepare_data.py data={self.name}, "
                f"or unpack {SOURCE.name} again"
            )
        return cache_folder(self.cache_dir, self.name, self._files.values(), {"max_length": self.max_length})

    def _vocabulary(self) -> Vocabulary:
        check(self.data_dir, self._files.values())
        rows = read_rows(self._files["train"], "counting characters of")
        texts = (text for row in rows for text in (row.first, row.second))
        return published_vocabulary(texts, self.max_length, min_freq=1, size=N_IDS)

    def _encode(self, split: str, vocabulary: Vocabulary) -> Sequences:
        labels = []

        def texts() -> Iterator[str]:
            for label, first, second in read_rows(self._files[split], "encoding"):
                labels.append(label)
                yield first
                yield second

        values, lengths = encode_all(texts(), vocabulary, self.max_length, self.cache_dir)
        if split == "train" and len(labels) != N_TRAINING_PAIRS:
            log.warning("%s: %d pairs, the published file has %d", self._files[split], len(labels), N_TRAINING_PAIRS)
        return Sequences(values, lengths, np.repeat(labels, 2))
