"""The page as a browser would read it: whole, escaped, and with nothing in it that leads to a network."""

import hashlib
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from time import process_time
from urllib.parse import unquote

import pytest

from longrange.cli import CONFIG_DIR
from longrange.errors import ConfigError
from longrange.results.report.page import write_page
from tests.paths import ROOT

EMPTY = {"meta", "input", "br", "wbr"}
SELF_CLOSED = {"path", "circle"}
EVIL = "<script>alert('x')</script>&\"quoted\""


class Page(HTMLParser):
    """The elements of a page, checked for balance as they come."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SELF_CLOSED
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Attributes of the elements of a kind."""
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]


def written(outputs: Path, results: Path | None = None) -> tuple[str, Page]:
    path = outputs / "report.html"
    write_page(outputs, path, results=results or outputs / "no results", configs=CONFIG_DIR)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_a_page_without_runs_says_how_to_make_one(outputs):
    text, page = written(outputs)
    assert "No runs yet" in text
    assert page.all("section", id="published")
    assert not page.all("section", id="runs")
    assert not page.all("section", id="unreadable")


def test_every_part_is_there(outputs, add_run):
    matrix = {"classes": ["no", "yes"], "counts": [[3, 1], [0, 2]]}
    for seed in range(3):
        add_run(f"listops/s5/a-s{seed}", seed=seed, test=0.5 + seed / 100, confusion=matrix)
    (add_run("text/s5/b-s0", task="text") / "result.json").write_text("{")
    (outputs / "committed").mkdir()
    (outputs / "committed" / "rows.csv").write_text("layer,seconds\ns4,1.5\n")
    text, page = written(outputs, outputs / "committed")
    sections = {found.get("id") for found in page.all("section")}
    assert {"runs", "tasks", "seeds", "published", "committed", "singles", "unreadable"} <= sections
    assert len(page.all("details", **{"class": "run"})) == 3
    assert len(page.all("td", title="no, taken for yes: 1")) == 3
    assert text.count('class="line c') == 3 * 3
    assert "no JSON" in text
    links = [found["href"] for found in page.all("a")]
    assert {"listops/s5/a-s0/.hydra/config.yaml", "listops/s5/a-s2/result.json"} <= set(links)
    ids = Counter(found["id"] for _, found in page.elements if "id" in found)
    assert set(ids.values()) == {1}
    for link in links:
        assert link[1:] in ids if link.startswith("#") else (outputs / unquote(link)).is_file()


def test_rows_carry_the_keys_they_sort_by(outputs, add_run):
    add_run("listops/s5/a-s0", test=0.1 + 0.2)
    add_run("listops/s5/b-s0", test=None)
    _, page = written(outputs)
    assert page.all("td", **{"data-key": repr(0.1 + 0.2), "class": "number"})
    assert page.all("td", **{"data-key": "", "class": "number"})
    assert all(found["data-first"] in ("ascending", "descending") for found in page.all("th") if "data-first" in found)


def test_whatever_a_run_is_called_is_text(outputs, add_run):
    matrix = {"classes": [EVIL, "b"], "counts": [[1, 1], [0, 2]]}
    config = {"name": {"overrides": [EVIL]}, EVIL: EVIL, "model": {"_target_": EVIL}}
    names = dict.fromkeys(("task", "model", "experiment", "protocol", "commit", "finished", "backend"), EVIL)
    folder = add_run("<script>alert(1)<&\"'>/s5/a-s0", **names, confusion=matrix, config=config)
    folder.with_name("b-s0").mkdir()
    (folder.with_name("b-s0") / "result.json").write_text(f'{{"task": 1, "{EVIL[:20]}": 2}}')
    (outputs / "results").mkdir()
    (outputs / "results" / "a<b>.csv").write_text("<script>,b\n<script>,2\n")
    text, page = written(outputs, outputs / "results")
    assert len(page.all("script")) == 1
    assert "alert(1)<" not in text
    assert EVIL not in text
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#34;quoted&#34;") > 20
    files = [found["href"] for found in page.all("a") if not found["href"].startswith("#")]
    assert files
    assert all((outputs / unquote(link)).is_file() for link in files)


def test_names_that_are_no_text_are_written(outputs, add_run):
    folder = add_run(model="\ud800")
    folder.rename(folder.with_name("\udcff-s0"))
    _, page = written(outputs)
    assert [found["id"] for found in page.all("details", **{"class": "run"})] == ["listops/s5/%FF-s0"]


def test_nothing_comes_from_outside(outputs, add_run):
    add_run()
    text, page = written(outputs, CONFIG_DIR.parent / "results")
    assert not [found for _, found in page.elements if {"src", "srcset", "action", "data", "background"} & found.keys()]
    assert not {"link", "iframe", "object", "embed", "img", "image", "use", "base"} & {tag for tag, _ in page.elements}
    assert not [found["href"] for found in page.all("a") if re.match(r"[a-z]+:|//", found["href"])]
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    (script,) = page.scripts
    assert not re.search(r"url\(|@import|//[a-z]", style)
    assert not re.search(r"https?:|fetch|XMLHttpRequest|import\b|\beval\b", script)
    (policy,) = [found["content"] for found in page.all("meta") if "http-equiv" in found]
    assert "default-src 'none'" in policy
    assert b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_hundreds_of_runs_are_quick_and_of_a_size_that_opens(outputs, add_run):
    matrix = {"classes": [str(k) for k in range(10)], "counts": [[k] * 10 for k in range(10)]}
    for place in range(200):
        model = {"d_model": place, "layer": {"d_state": place % 7}}
        config = {"seed": place, "name": {"overrides": [f"seed={place}"]}, "model": model}
        task = f"task{place % 4}"
        add_run(f"{task}/s5/a-s{place}", 100, task=task, seed=place, config=config, confusion=matrix)
    began = process_time()
    text, page = written(outputs)
    assert process_time() - began < 15  # seconds of one core; about 2
    assert len(text) < 6e6
    assert len(page.all("details", **{"class": "run"})) == 200


def test_a_page_is_replaced_whole_or_not_at_all(outputs, add_run, monkeypatch):
    add_run()
    written(outputs)
    before = (outputs / "report.html").read_text()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_page(outputs, outputs / "report.html", results=outputs, configs=CONFIG_DIR)
    assert (outputs / "report.html").read_text() == before
    assert {path.name for path in outputs.iterdir()} == {"listops", "report.html"}


def test_a_folder_is_no_page_and_a_file_no_folder(outputs):
    outputs.mkdir()
    file = outputs / "file"
    file.touch()
    for folder, page, message in (
        (outputs, outputs, "is a folder; name a file"),
        (file, outputs / "report.html", "file: is a file, not a folder"),
        (outputs, file / "report.html", "file: is a file, not a folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_page(folder, page, results=outputs, configs=CONFIG_DIR)


def test_the_script_says_what_it_wrote(outputs, add_run):
    folder = add_run()
    (add_run("listops/s5/b-s0") / "result.json").write_text("{")
    script = [sys.executable, ROOT / "scripts" / "report.py", f"paths.outputs={outputs}"]
    done = subprocess.run(script, capture_output=True, text=True, check=True, cwd=outputs)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"not readable: {folder.parent / 'b-s0' / 'result.json'}: no JSON")
    assert lines[1] == f"{outputs / 'report.html'}: 1 run under {outputs}"
    assert {path.name for path in outputs.iterdir()} == {"listops", "report.html"}


def test_the_script_refuses_a_named_folder_that_is_not_there(tmp_path):
    script = [sys.executable, ROOT / "scripts" / "report.py"]
    done = subprocess.run([*script, "paths.outputs=outputz"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: paths.outputs=outputz: no such folder; name one that runs were written to\n"
    assert not list(tmp_path.iterdir())
    subprocess.run(script, capture_output=True, check=True, cwd=tmp_path)
    assert (tmp_path / "outputs" / "report.html").exists()
