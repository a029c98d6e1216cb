"""ListOps: the value, 0 to 9, of a nested expression such as [MAX 2 9 [MIN 4 7 ] 0 ].

Source: Nangia and Bowman (arXiv 1804.06028), in the lengths of Long Range Arena (arXiv 2011.04006): 96,000 / 2,000 /
2,000 expressions of 501 to 1,999 tokens. The files `basic_{train,val,test}.tsv` of the published archive (its folder
`lra_release/lra_release/listops-1000`, https://storage.googleapis.com/long-range-arena/lra_release.gz) are read as they
are; where there are none they are generated, from the same distribution: 1,035 tokens in the mean, about 17% of the
values 0, the majority.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from longrange.data.cache import SequenceDataset, Sequences, cache_folder, ensure_cache, open_split
from longrange.data.checksums import check
from longrange.data.fetch import Source
from longrange.data.files import is_vacant, locked
from longrange.data.generate.listops import RECIPE_FILE, Recipe, generate, tsv_file
from longrange.data.listops_text import N_CLASSES, VOCABULARY, decode, read_tsv
from longrange.data.module import SequenceDataModule, Split
from longrange.errors import ConfigError, DataError
from longrange.models.spec import TaskSpec

log = logging.getLogger(__name__)


class ListOps(SequenceDataModule):
    """ListOps from files, generated or published.

    Args:
        data_dir: folder of the three TSV files; where it is absent or empty, they are generated into it.
        cache_dir: folder of the encoded data; `data_dir/cache` where None.
        recipe: what to generate; the published task where None. Not used where files were published.
        generator_seed: decides what is generated.
        max_length: longest sequence in steps, `<eos>` included; longer ones are cut.
        name: the task's name in its spec.
        options: batch size and loader options, see `SequenceDataModule`.

    Raises:
        ConfigError: a value is out of range.

    Attributes:
        sources: published files that are downloaded: none, the files are generated.
    """

    sources: Sequence[Source] = ()

    def __init__(
        self,
        *,
        data_dir: str | Path,
        cache_dir: str | Path | None = None,
        recipe: Recipe | None = None,
        generator_seed: int = 0,
        max_length: int = 2048,
        name: str = "listops",
        **options,
    ):
        super().__init__(**options)
        if max_length < 2:
            raise ConfigError(f"data.max_length={max_length}: must be at least 2, a token and the end mark")
        self.data_dir = Path(data_dir).expanduser()
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else self.data_dir / "cache"
        self.recipe, self.generator_seed = recipe or Recipe(), generator_seed
        self.max_length, self.name = max_length, name

    @property
    def spec(self) -> TaskSpec:
        """18 token ids in, 10 classes out."""
        return TaskSpec(self.name, "tokens", len(VOCABULARY), N_CLASSES, self.max_length, variable_length=True)

    def present(self) -> bool:
        """Whether the three files are there."""
        return all(file.is_file() for file in self._files.values())

    def prepare_data(self) -> None:
        """Generate the files where there are none, and encode them where that has not been done.

        Raises:
            DataError: the folder holds other things, or another recipe's files; a file is at fault; a place
                cannot be written.
        """
        if is_vacant(self.data_dir):
            with locked(self.data_dir):
                if is_vacant(self.data_dir):
                    log.info("%s: no ListOps files; generating them", self.data_dir)
                    generate(self.data_dir, self.recipe, self.generator_seed)
        self._check_recipe()
        ensure_cache(self._cache, self._files, self._encode)

    def split(self, name: Split) -> SequenceDataset:
        """The encoded examples of one split, memory-mapped.

        Raises:
            DataError: the data has not been prepared.
        """
        return open_split(self._cache, name, self.name)

    def preview(self, split: Split, indices: Sequence[int]) -> list[tuple[str, str, str]]:
        """Expressions and their values, see `preview.draw`."""
        data = self.split(split)
        return [("text", decode(data.row(i)), f"value {data.targets[i]}, {data.lengths[i]:,} steps") for i in indices]

    @property
    def _files(self) -> dict[str, Path]:
        return {split: tsv_file(self.data_dir, split) for split in self.recipe.sizes}

    @property
    def _cache(self) -> Path:
        missing = [file.name for file in self._files.values() if not file.is_file()]
        if missing:
            raise DataError(
                f"{self.data_dir}: no {', '.join(missing)}; data.data_dir must hold the three basic_*.tsv files, "
                f"or be absent or empty to have them generated"
            )
        return cache_folder(self.cache_dir, self.name, self._files.values(), {"max_length": self.max_length})

    def _encode(self, split: str) -> Sequences:
        check(self.data_dir, [self._files[split]], f"remove {self.data_dir} to have it generated again")
        return read_tsv(self._files[split], self.max_length)

    def _check_recipe(self) -> None:
        """Generated files are what this configuration asks for; published ones carry no recipe."""
        made_by = self.data_dir / RECIPE_FILE
        if not made_by.is_file():
            return
        wanted = asdict(self.recipe) | {"seed": self.generator_seed}
        names = {"seed": "data.generator_seed"}
        try:
            made = dict(json.loads(made_by.read_text()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{made_by}: damaged ({type(error).__name__}); remove {self.data_dir}") from error
        changed = [
            f"{names.get(key, f'data.recipe.{key}')}={made.get(key)}, not {value}"
            for key, value in wanted.items()
            if made.get(key) != value
        ]
        if changed:
            raise DataError(
                f"{self.data_dir}: was generated with {' and '.join(changed)}; remove it or give another data.data_dir"
            )
