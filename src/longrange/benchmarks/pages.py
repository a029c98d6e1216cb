"""Pages whose tables are made of the files in results/ and of nothing else.

A table stands between two comments, `<!-- name -->` and `<!-- /name -->`; what is around them is written by hand.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from longrange.benchmarks.page_tables import NOTHING, made_tables
from longrange.errors import DataError
from longrange.whole_files import write_whole


def renew(cfg: DictConfig, *, pages: Sequence[str], results: str) -> dict[str, Any]:
    """Renew the tables of pages; all of them or, where one cannot be, none.

    Args:
        cfg: the whole configuration.
        pages: Markdown files.
        results: the folder of measurements.
    Returns:
        The pages, and the tables that have nothing to show yet.
    Raises:
        DataError: there is no such folder, a page cannot be read, or it has a table that is not known.
    """
    if not Path(results).is_dir():
        raise DataError(f"{results}: no such folder, so the pages stay as they are; give benchmark.results=<folder>")
    tables = made_tables(Path(results))
    texts = {page: filled(_read(page), tables, page) for page in pages}
    for page, text in texts.items():
        write_whole(Path(page), text.encode())
    return {"pages": list(pages), "not_measured": [name for name, table in tables.items() if table == NOTHING]}


def _read(page: str) -> str:
    try:
        return Path(page).read_text()
    except OSError as error:
        raise DataError(f"{page}: cannot be read ({error.strerror}); give benchmark.pages=[<file>]") from error


def filled(text: str, tables: dict[str, str], page: str) -> str:
    """A page with its tables in place.

    Raises:
        DataError: it has a table that is not known.
    """

    def table(found: re.Match) -> str:
        if found[1] not in tables:
            raise DataError(f"{page}: <!-- {found[1]} --> is no table; one of {', '.join(tables)}")
        return f"<!-- {found[1]} -->\n{tables[found[1]]}\n<!-- /{found[1]} -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", table, text, flags=re.DOTALL)
