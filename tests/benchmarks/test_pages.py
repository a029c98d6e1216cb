"""The page of measured speeds: its tables are those of results/, and say where nothing was measured."""

import csv
import json

import pytest

from longrange.benchmarks.page_tables import NOTHING, made_tables
from longrange.benchmarks.pages import filled, renew
from longrange.cli import compose
from longrange.csv_files import keep_rows
from longrange.errors import DataError
from tests.paths import ROOT

PART = {"forward_floor_s": 0.1, "backward_floor_s": 0.2, "gap_s": 0.6, "gflop": 1.5, "mib": 30.0}
WHERE = {"device": "cpu", "cpu": "a cpu", "threads": 1, "commit": "892d55a", "date": "2026-11-28"}
STEP = {
    **{"experiment": "image/s5", "task": "image", "model": "s5", "batch_size": 4, "device": "cpu", "threads": 2},
    **{"cpu": "a cpu", "date": "2026-11-27"},
    **{"step_s": 1.8, "floor_s": 0.6, "reached": 1 / 3, "bandwidth_gb_per_s": 9.0, "precision": "32-true"},
    "matrix_gflop_per_s": {"float32": 80.0},
    "parts": [{**PART, "part": name, "forward_s": 0.4, "backward_s": 0.5} for name in ("layer: linear", "norm")],
}


def test_committed_pages_are_what_the_committed_results_say():
    tables, pages = made_tables(ROOT / "results"), compose("benchmark", ["benchmark=page"]).benchmark.pages
    texts = {page: (ROOT / page).read_text() for page in pages}
    for page, text in texts.items():
        assert filled(text, tables, page) == text, "run: python scripts/benchmark.py benchmark=page"
    for name in tables:
        assert any(f"<!-- {name} -->" in text for text in texts.values())


def test_what_is_not_measured_says_so(tmp_path):
    assert set(made_tables(tmp_path).values()) == {NOTHING}


def test_profiles_become_tables(tmp_path):
    (tmp_path / "profile").mkdir()
    half = STEP | {"precision": "bf16-mixed", "step_s": 0.9}
    for name, step in {"image-s5": STEP, "image-s5-bf16-mixed": half}.items():
        (tmp_path / "profile" / f"{name}.json").write_text(json.dumps(step))
    tables = made_tables(tmp_path)
    assert (
        "| image/s5 | 4 | 32-true | a cpu, 2 threads | 1800.0 | 600.0 | 33% | layer: linear | 2026-11-27 |"
        in tables["steps"]
    )
    assert "| norm | 400.0 | 500.0 | 300.0 | 600.0 | 33% | 1.50 | 30 |" in tables["parts"]
    assert "| **step** | 800.0 | 1000.0 | 600.0 | 1200.0 | 33% | 3.00 | 60 |" in tables["parts"]
    assert "| image/s5 | 4 | a cpu, 2 threads | bf16-mixed | 1800.0 | 900.0 | 2.00 |" in tables["narrower"]


def test_trainings_in_two_precisions_become_a_row(tmp_path):
    kinds = {"float32": {"final_loss": 1.5, "step_s": 0.1}, "bf16": {"final_loss": 1.51234, "step_s": 0.05}}
    noise = {"distance": 0.01, "noise": 0.02, "ratio": 0.5, "as_far": 7, "splits": 10, "within_noise": True}
    same = STEP | {"seeds": [0, 1, 2], "steps": 500}
    diverged = {"bf16": {"final_loss": None, "step_s": None}, "distance": None, "ratio": None, "within_noise": False}
    (tmp_path / "precision").mkdir()
    for name, own in {"a": {}, "b": {**diverged, "as_far": 0}}.items():
        (tmp_path / "precision" / f"{name}.json").write_text(json.dumps(same | kinds | noise | own))
    shown = made_tables(tmp_path)["precision"]
    start = "| image/s5 | 4 | a cpu, 2 threads | 3 | 500 | 1.5000 |"
    assert f"{start} 1.5123 | 0.01 | 0.02 | 0.5 | 7 of 10 | yes | 100.0 | 50.0 |" in shown
    assert f"{start} - | - | 0.02 | - | 0 of 10 | no | 100.0 | - |" in shown


def test_shared_steps_and_their_estimate_become_tables(tmp_path):
    keep = {"experiment": "pathx/s5", "gradient_bytes": 2_800_000, "batch_size": 2, **WHERE}
    shared = {"processes": 2, "step_s": 1.5, "speedup": 1.8, "efficiency": 0.9, "gradient_s": 0.004}
    keep_rows(
        tmp_path / "processes" / "rows.csv",
        [keep | shared | {"small_sums": 14, "small_s": 0.0003, "communication_s": 0.0082}],
        ["experiment"],
    )
    link = {"bandwidth_gb_per_s": 100, "latency_us": 20}
    times = {"devices": 64, "examples": 1, "compute_s": 1.0, "gradient_s": 1e-5, "small_s": 2e-4, "step_s": 1.0002}
    estimate = [keep | link | times | {"speedup": 31.99, "efficiency": 0.4999}]
    keep_rows(tmp_path / "processes" / "estimate.csv", estimate, ["experiment"])
    tables = made_tables(tmp_path)
    figures = "1500.0 | 1.8 | 0.9 | 2.80 | 4.00 | 14 | 0.30 | 8.20 | 892d55a | 2026-11-28"
    assert f"| pathx/s5 | 2 | a cpu, 1 threads | 2 | {figures} |" in tables["processes"]
    assert tables["estimate"].startswith("**Estimated, not measured.** Link: 100 GB/s, 20 us.")
    assert (
        "| pathx/s5 | 2 | a cpu, 1 threads | 64 | 1 | 1000.000 | 0.010 | 0.200 | 1000.2 | 32.0 | 50% |"
        in tables["estimate"]
    )


def test_what_was_measured_stands_beside_where(tmp_path):
    step = {"layer": "s5", "d_model": 8, "length": 64, "steps_per_s": 900, "recomputed_per_s": 3.5, "ratio": 257}
    supply = {"loader_samples_per_s": 5000, "model_samples_per_s": 2.5, "ratio": 2000}
    write_rows(tmp_path / "recurrence" / "rows.csv", [step | WHERE])
    write_rows(tmp_path / "loading" / "rows.csv", [{"task": "text", "model": "s5", "batch_size": 50} | supply | WHERE])
    size = {"layer": "s5", "d_model": 8, "length": 64, "d_state": 4, "seconds": 0.5, "extra_mib": 2.0}
    larger = [size | {"length": 128, "seconds": 1.0}, size | {"d_state": 16, "seconds": 1.0, "extra_mib": 32.0}]
    write_rows(tmp_path / "scaling" / "rows.csv", [each | WHERE for each in (size, *larger)])
    tables, where = made_tables(tmp_path), "a cpu, 1 threads | 892d55a | 2026-11-28"
    assert f"| s5 | 8 | 64 | 900 | 3.5 | 257 | {where} |" in tables["recurrence"]
    assert f"| text | s5 | 50 | 5000 | 2.5 | 2000 | {where} |" in tables["loading"]
    assert "H = 8, batch 1; a cpu, 1 threads, 892d55a, 2026-11-28." in tables["growth"]
    assert "| s5 | 1.0 | 0.0 | 0.5 | 2.0 |" in tables["growth"]


def write_rows(path, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_ours_stands_beside_a_peer_on_each_device(tmp_path):
    row = {
        **{"experiment": "listops/s5", "ratio": "2.5", "ours_s": "0.2", "peer_s": "0.5", "batch_size": "4"},
        **{"ours_peak_memory_bytes": 2**29, "peer_peak_memory_bytes": 2**30, "device": "a cpu"},
        **{"peer": "lindermanlab/S5", "peer_commit": "3c18fdb", "peer_versions": "jax 0.10.2"},
        **{"versions": "torch 2.13.0", "date": "2026-11-26", "commit": "892d55a"},
    }
    image = row | {"experiment": "image/s5", "ratio": "4.0"}
    write_rows(tmp_path / "peers" / "rows.csv", [row, image, row | {"device": "a gpu", "ratio": "3.0"}])
    tables = made_tables(tmp_path)
    versions = "ours in torch 2.13.0; lindermanlab/S5 at 3c18fdb in jax 0.10.2"
    assert f"**a cpu**, 2026-11-26; {versions}:" in tables["peers"]
    assert "| listops/s5 | 2.5 | 200.0 | 500.0 | 512 | 1024 | 4 | 892d55a |" in tables["peers"]
    assert tables["ratios"].splitlines()[0] == "| experiment | a cpu | a gpu |"
    assert tables["ratios"].splitlines()[2:] == ["| listops/s5 | 2.5 | 3.0 |", "| image/s5 | 4.0 | - |"]


def test_of_trainings_the_newest_counts(tmp_path):
    row = {
        **{"task": "text", "model": "s5", "metric": "accuracy", "test": "0.731", "baseline": "0.5"},
        **{"n_parameters": "75778", "epochs": "4", "minutes": "34.3", "device": "a cpu", "commit": "b186d8d"},
        "finished": "2026-11-22",
    }
    write_rows(tmp_path / "proof_runs.csv", [row, row | {"task": "image"}, row | {"test": "0.746"}])
    shown = made_tables(tmp_path)["trainings"].splitlines()[2:]
    what = "0.5 | 75,778 | 4 | 34.3 | a cpu | b186d8d | 2026-11-22 |"
    assert shown == [f"| text | s5 | accuracy | 0.746 | {what}", f"| image | s5 | accuracy | 0.731 | {what}"]


def test_a_page_is_renewed_in_place(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- loading -->\nold\n<!-- /loading -->\nafter\n")
    report = renew(compose("benchmark", []), pages=[str(page)], results=str(tmp_path))
    assert page.read_text() == f"before\n<!-- loading -->\n{NOTHING}\n<!-- /loading -->\nafter\n"
    assert "loading" in report["not_measured"]


def test_mistakes_are_named(tmp_path):
    with pytest.raises(DataError, match="<!-- lading --> is no table"):
        filled("<!-- lading -->\n<!-- /lading -->", made_tables(tmp_path), "page.md")
    page = tmp_path / "page.md"
    page.write_text("<!-- loading -->\nold\n<!-- /loading -->\n")
    with pytest.raises(DataError, match=r"none\.md: cannot be read"):
        renew(compose("benchmark", []), pages=[str(page), str(tmp_path / "none.md")], results=str(tmp_path))
    with pytest.raises(DataError, match="nowhere: no such folder"):
        renew(compose("benchmark", []), pages=[str(page)], results=str(tmp_path / "nowhere"))
    assert "old" in page.read_text()
