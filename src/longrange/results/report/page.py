"""The page: everything in one file, which refers to nothing outside but the runs' own files."""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from longrange.errors import ConfigError
from longrange.results.report import charts, overview, tables
from longrange.results.report.entries import Unreadable, find
from longrange.results.report.single import single
from longrange.whole_files import write_whole

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Written:
    """What a page shows.

    Attributes:
        path: the page.
        runs: how many finished ones.
        unfinished: how many others.
        unreadable: what could not be read.
    """

    path: Path
    runs: int
    unfinished: int
    unreadable: list[Unreadable]


def write_page(outputs: Path, page: Path, *, results: Path, configs: Path) -> Written:
    """Write the page of all runs and tables.

    Args:
        outputs: folder of all runs; may be missing.
        page: the file to write, whole or not at all.
        results: folder of the committed tables.
        configs: folder of the configuration, for the published tables.
    Raises:
        ConfigError: `page` is a folder, or what should be a folder is a file.
    """
    if page.is_dir():
        raise ConfigError(f"file={page}: is a folder; name a file in it, e.g. file={page}/report.html")
    for folder in (outputs, page.parent):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file, not a folder; choose others with paths.outputs=... and file=...")
    entries, unreadable = find(outputs)
    published, missed = tables.published(configs, results, outputs)
    committed, missing = tables.committed(results)
    unreadable += [*missed, *missing]
    text = _template().render(
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        outputs=str(outputs),
        n_finished=sum(entry.finished for entry in entries),
        n_unfinished=sum(not entry.finished for entry in entries),
        runs=overview.all_runs(entries),
        tasks=overview.by_task(entries),
        seeds=overview.over_seeds(entries),
        published=published,
        committed=committed,
        singles=[single(entry, page) for entry in entries],
        unreadable=unreadable,
        charts=charts,
        **_inlined(),
    )
    write_whole(page, text.encode(errors="replace"))
    finished = sum(entry.finished for entry in entries)
    return Written(page, finished, len(entries) - finished, unreadable)


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html")


def _breakable(name: str) -> Markup:
    """A dotted name that may be broken after each dot."""
    return Markup(".<wbr>").join(map(escape, name.split(".")))


def _inlined() -> dict[str, Markup]:
    """Style and script of the page; the hash by which a browser knows the one script that it may run."""
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    return {"script": Markup(script), "style": Markup(style), "script_hash": f"sha256-{digest}"}
