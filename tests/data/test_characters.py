"""Vocabularies by the published rule, encoding and back."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.data import characters
from longrange.data.characters import BYTES, EOS, UNK, Vocabulary, as_bytes, decode, encode_all, published_vocabulary

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=8)


def slow_vocabulary(texts: list[str], max_length: int, min_freq: int) -> str:
    counts = Counter("".join(text[: max_length - 1] for text in texts))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "".join(symbol for symbol, count in ranked if count >= min_freq)


@settings(deadline=None)
@given(texts=TEXTS, max_length=st.integers(2, 40), min_freq=st.integers(1, 3), at_once=st.sampled_from([1, 20, 1000]))
def test_vocabulary_is_the_rule_spelt_out(texts, max_length, min_freq, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters, "_COUNT_AT_ONCE", at_once)
        found = published_vocabulary(iter(texts), max_length, min_freq, size=300)
    assert found.symbols == slow_vocabulary(texts, max_length, min_freq)


@settings(deadline=None)
@given(texts=TEXTS, max_length=st.integers(2, 40))
def test_encoding_is_the_loop_over_characters(texts, max_length):
    vocabulary = Vocabulary("abc\N{GREEK SMALL LETTER PI}\N{GRINNING FACE}")
    for text in [*texts, "abcd\N{GRINNING FACE}\N{GREEK SMALL LETTER PI}"]:
        known = [3 + vocabulary.symbols.index(s) if s in vocabulary.symbols else UNK for s in text[: max_length - 1]]
        assert vocabulary.encode(text, max_length).tolist() == [*known, EOS]


@settings(deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=50))
def test_decoding_gives_the_text_back(text):
    vocabulary = published_vocabulary([text], 100, 1, size=300)
    assert decode(vocabulary.encode(text, 100), vocabulary.symbols) == text
    ids = BYTES.encode(as_bytes(text), 1000)
    assert (ids[:-1].astype(int) - 3).tolist() == list(text.encode())
    assert decode(ids, BYTES.symbols).encode("latin-1").decode() == text


def test_what_has_no_id_is_shown_as_such():
    assert decode(Vocabulary("ab").encode("abzb", 9), "ab") == "ab\N{REPLACEMENT CHARACTER}b"


def test_ids_take_the_smallest_type():
    assert Vocabulary("ab").encode("a", 9).dtype == np.uint8
    assert (len(BYTES), BYTES.encode("a", 9).dtype) == (259, np.uint16)


def test_the_rarest_are_left_out_where_ids_are_few(caplog):
    assert published_vocabulary(["aaabbc"], 10, 1, size=5).symbols == "ab"
    assert "1 characters of the training texts become <unk>, as the task has 5 ids" in caplog.text


@settings(deadline=None)
@given(texts=TEXTS)
def test_texts_end_to_end(tmp_path_factory, texts):
    vocabulary = Vocabulary("abc")
    values, lengths = encode_all(iter(texts), vocabulary, 9, tmp_path_factory.getbasetemp())
    rows = np.split(values, np.cumsum(lengths)[:-1])
    assert [row.tolist() for row in rows] == [vocabulary.encode(text, 9).tolist() for text in texts]
    assert isinstance(values, np.memmap)
