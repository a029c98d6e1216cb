"""Text as ids: a task's vocabulary of characters, and texts encoded by one table lookup each.

The vocabulary follows the rule of the published pipelines (S4, S5): the characters of the training texts, as far as
sequences reach, by falling frequency, equally frequent ones by code point, after `<pad>`, `<unk>` and `<eos>`.
"""

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)

SPECIALS = ("<pad>", "<unk>", "<eos>")
UNK, EOS = SPECIALS.index("<unk>"), SPECIALS.index("<eos>")

_CODE_POINTS = 0x110000
_COUNT_AT_ONCE = 1 << 22


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


class Vocabulary:
    """Which id each character has.

    Args:
        symbols: the characters in the order of their ids, which begin after those of `SPECIALS`.

    Attributes:
        symbols: as given.
        dtype: the smallest unsigned type that holds every id.
    """

    def __init__(self, symbols: str):
        self.symbols = symbols
        self.dtype = np.min_scalar_type(len(self) - 1)
        self._ids = np.full(_CODE_POINTS, UNK, self.dtype)
        self._ids[_codes(symbols)] = np.arange(len(SPECIALS), len(self))

    def __len__(self) -> int:
        return len(SPECIALS) + len(self.symbols)

    def encode(self, text: str, max_length: int) -> np.ndarray:
        """Ids of a text.

        Args:
            text: may be empty.
            max_length: longest sequence, `<eos>` included; a longer text loses its end.
        Returns:
            (L,) of `dtype`, closed by `<eos>`; L is at most max_length.
        """
        codes = _codes(text[: max_length - 1])
        ids = np.empty(len(codes) + 1, self.dtype)
        ids[:-1], ids[-1] = self._ids[codes], EOS
        return ids


# Every byte has its id; encode `as_bytes(text)` with it.
BYTES = Vocabulary("".join(map(chr, range(256))))


def as_bytes(text: str) -> str:
    """The UTF-8 bytes of a text, each as the character of the same number."""
    return text.encode().decode("latin-1")


def decode(ids: np.ndarray, symbols: str) -> str:
    """The characters of (L,) ids without their `<eos>`; U+FFFD where a character had no id."""
    table = ["", "\N{REPLACEMENT CHARACTER}", "", *symbols]
    return "".join(table[i] for i in ids.tolist())


def published_vocabulary(texts: Iterable[str], max_length: int, min_freq: int, size: int) -> Vocabulary:
    """The vocabulary of the training texts.

    Args:
        texts: read once, one after another.
        max_length: longest sequence, `<eos>` included; characters beyond it do not count.
        min_freq: fewest times that a character occurs.
        size: most ids, `SPECIALS` included; where there are more characters, the rarest are left out.
    """
    counts = _count(text[: max_length - 1] for text in texts)
    by_frequency = np.argsort(-counts, kind="stable")
    frequent = by_frequency[: np.count_nonzero(counts >= min_freq)]
    kept = frequent[: size - len(SPECIALS)]
    if len(kept) < len(frequent):
        log.warning(
            "%d characters of the training texts become <unk>, as the task has %d ids; this is not the published data",
            *(len(frequent) - len(kept), size),
        )
    return Vocabulary("".join(map(chr, kept)))


def encode_all(
    texts: Iterable[str], vocabulary: Vocabulary, max_length: int, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Encode texts one after another; what is encoded lies on the disk, however much it is.

    Args:
        texts: read once, at least one.
        vocabulary, max_length: as in `Vocabulary.encode`.
        folder: for a file without a name, gone with the last use of the result.
    Returns:
        ids end to end, mapped from that file; lengths (n,) int64.
    Raises:
        OSError: the file cannot be written.
    """
    lengths = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for text in texts:
            ids = vocabulary.encode(text, max_length)
            file.write(ids.data)
            lengths.append(len(ids))
        file.flush()
        return np.memmap(file, vocabulary.dtype, mode="r"), np.array(lengths)


def _count(texts: Iterable[str]) -> np.ndarray:
    """How often each code point occurs, (0x110000,) int64."""
    counts = np.zeros(_CODE_POINTS, np.int64)
    waiting, length = [], 0
    for text in texts:
        waiting.append(text)
        length += len(text)
        if length > _COUNT_AT_ONCE:
            counts += np.bincount(_codes("".join(waiting)), minlength=_CODE_POINTS)
            waiting, length = [], 0
    return counts + np.bincount(_codes("".join(waiting)), minlength=_CODE_POINTS)
