"""ListOps: nested operations on lists of digits (Nangia and Bowman, arXiv 1804.06028; lengths of Long Range Arena).

The published generator draws trees into a Python set until it holds enough distinct ones within the wanted lengths; the
set's order, a hash order, then decides which split each belongs to. This one does the same in parallel: numbered
blocks of draws, each from its own random stream, are taken in the order of their numbers until enough distinct
expressions are found, so that the number of threads cannot matter. Then a keyed hash of each expression decides its
place. Both are a random partition of the same random set: the hash knows nothing of when an expression was drawn. (The
order of first draws would not do: likely, hence short, expressions are drawn early and would crowd the first split.)
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import count, islice
from pathlib import Path

import numpy as np

from longrange.data.checksums import seal
from longrange.data.files import check_space, whole_folder
from longrange.data.generate.expressions import HEADER, answers, draw_many, write_rows
from longrange.data.progress import progress_bar
from longrange.errors import ConfigError

RECIPE_FILE = "recipe.json"

DRAWS_PER_BLOCK = 4096
_FRUITLESS_BLOCKS = 100
_ROWS_PER_WRITE = 1000
_TEXT_BYTES_PER_SYMBOL = 7


@dataclass(frozen=True)
class Recipe:
    """The distribution of expressions and the sizes of the splits; the defaults are the published ones.

    Attributes:
        min_length: fewest tokens of an expression, parentheses not counted.
        max_length: most tokens of an expression.
        max_depth: depth at which only digits stand; the root is at depth 1.
        max_args: most arguments of an operator; the fewest are 2.
        p_operator: probability that a node above `max_depth` is an operator.
        train, val, test: number of expressions in each split.

    Raises:
        ConfigError: a value is out of range.
    """

    min_length: int = 501
    max_length: int = 1999
    max_depth: int = 10
    max_args: int = 10
    p_operator: float = 0.25
    train: int = 96_000
    val: int = 2_000
    test: int = 2_000

    def __post_init__(self):
        least = {"min_length": 1, "max_length": self.min_length, "max_depth": 1, "max_args": 2, "p_operator": 0.0}
        for name, bound in {**least, **dict.fromkeys(self.sizes, 1)}.items():
            if getattr(self, name) < bound:
                reason = " (data.recipe.min_length)" if name == "max_length" else ""
                raise ConfigError(f"data.recipe.{name}={getattr(self, name)}: must be at least {bound}{reason}")
        if self.p_operator > 1:
            raise ConfigError(f"data.recipe.p_operator={self.p_operator}: must be at most 1")

    @property
    def sizes(self) -> dict[str, int]:
        """Number of expressions by split."""
        return {"train": self.train, "val": self.val, "test": self.test}


def tsv_file(folder: Path, split: str) -> Path:
    """Where the benchmark keeps a split ("train", "val", "test")."""
    return folder / f"basic_{split}.tsv"


def generate(folder: Path, recipe: Recipe, seed: int, workers: int | None = None) -> None:
    """Make the three files of the benchmark, `recipe.json` and checksums beside them; whole, or not at all.

    The caller holds the lock of `folder`.

    Args:
        folder: made by this call; must not exist, or be empty.
        recipe: what to draw, how many.
        seed: 0 or more; together with the recipe it decides every byte.
        workers: threads; all cores where None.
    Raises:
        ConfigError: a negative seed, or a recipe without enough distinct expressions.
        DataError: the folder cannot be written, or the disk is too full.
    """
    if seed < 0:
        raise ConfigError(f"data.generator_seed={seed}: must be 0 or more")
    with whole_folder(folder) as partial, progress_bar() as progress:
        total = sum(recipe.sizes.values())
        drawing = progress.add_task("drawing expressions", total=total)
        writing = progress.add_task(f"writing {folder.name}", total=total, start=False)
        distinct = draw_distinct(recipe, seed, workers, lambda done: progress.update(drawing, completed=done))
        check_space(folder, sum(map(len, distinct)) * _TEXT_BYTES_PER_SYMBOL)
        progress.start_task(writing)
        expressions = iter(_hash_order(distinct, seed))
        for split, size in recipe.sizes.items():
            rows = [(expression, distinct[expression]) for expression in islice(expressions, size)]
            _write(tsv_file(partial, split), rows, lambda done: progress.advance(writing, done))
        (partial / RECIPE_FILE).write_text(json.dumps(asdict(recipe) | {"seed": seed}, indent=2) + "\n")
        seal(partial)


def draw_distinct(recipe: Recipe, seed: int, workers: int | None, report: Callable[[int], None]) -> dict[bytes, int]:
    """Draw until there are as many distinct expressions as the recipe's splits need.

    Args:
        recipe, seed, workers: as in `generate`.
        report: called with the number found so far.
    Returns:
        expression (its symbols as bytes) to value, in the order of their first draw.
    Raises:
        ConfigError: no new expression in a long run of draws.
    """
    wanted = sum(recipe.sizes.values())
    distinct: dict[bytes, int] = {}
    fruitless = 0
    with closing(_blocks(recipe, seed, workers)) as blocks:
        while len(distinct) < wanted:
            before = len(distinct)
            _add(distinct, *next(blocks), wanted)
            report(len(distinct))
            fruitless = 0 if len(distinct) > before else fruitless + 1
            if fruitless == _FRUITLESS_BLOCKS:
                raise ConfigError(
                    f"data.recipe: only {len(distinct)} of {wanted} distinct expressions of {recipe.min_length} to "
                    f"{recipe.max_length} tokens found, and no more turn up; widen the lengths or ask for fewer"
                )
    return distinct


def draw_block(recipe: Recipe, seed: int, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The expressions of wanted length among a fixed number of draws; depends on its arguments alone.

    Args:
        recipe: what to draw.
        seed: of the data set.
        block: number of the block, from 0.
    Returns:
        symbols (sum of lengths,) uint8, ends (n,) int64, values (n,) uint8.
    """
    random_state = np.random.SeedSequence((seed, block)).generate_state(1, np.uint64)
    shape = (recipe.min_length, recipe.max_length, recipe.max_depth, recipe.max_args, recipe.p_operator)
    symbols, ends = draw_many(random_state, DRAWS_PER_BLOCK, *shape)
    return symbols, ends, answers(symbols, ends)


def _blocks(recipe: Recipe, seed: int, workers: int | None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All blocks in the order of their numbers, a few drawn ahead."""
    workers = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(draw_block, recipe, seed, block) for block in range(2 * workers))
        try:
            for block in count(2 * workers):
                yield ahead.popleft().result()
                ahead.append(pool.submit(draw_block, recipe, seed, block))
        finally:
            pool.shutdown(cancel_futures=True)


def _add(distinct: dict[bytes, int], symbols: np.ndarray, ends: np.ndarray, values: np.ndarray, wanted: int) -> None:
    """Take over the new expressions of a block, up to `wanted` in all."""
    text, begin = symbols.tobytes(), 0
    for end, value in zip(ends.tolist(), values.tolist(), strict=True):
        if len(distinct) == wanted:
            return
        distinct.setdefault(text[begin:end], value)
        begin = end


def _hash_order(expressions: Iterable[bytes], seed: int) -> list[bytes]:
    key = str(seed).encode()
    return sorted(expressions, key=lambda expression: blake2b(expression, digest_size=16, key=key).digest())


def _write(path: Path, rows: list[tuple[bytes, int]], report: Callable[[int], None]) -> None:
    """Write one split; `report` is called with the number of rows in each write."""
    with path.open("wb") as file:
        file.write(HEADER + b"\r\n")
        for begin in range(0, len(rows), _ROWS_PER_WRITE):
            expressions, values = zip(*rows[begin : begin + _ROWS_PER_WRITE], strict=True)
            symbols, ends = np.frombuffer(b"".join(expressions), np.uint8), np.cumsum([len(e) for e in expressions])
            file.write(write_rows(symbols, ends, np.array(values, np.uint8)))
            report(len(expressions))
