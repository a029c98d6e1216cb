"""Runs are found wherever they lie, and nothing in the outputs folder makes the reader fail."""

import json
import sys

import pytest
from made_up_runs import record, write_metrics
from toy_task import toy_config

from longrange.results.record import write_record
from longrange.results.report.entries import find
from longrange.training import train


def test_no_folder_has_no_runs(outputs):
    assert find(outputs) == ([], [])


def test_a_real_run_is_read_whole(tmp_path):
    cfg = toy_config(tmp_path / "toy" / "s5" / "0a1b2c3d-s0")
    outcome = train(cfg)
    write_record(outcome, cfg)
    (entry,), unreadable = find(tmp_path)
    assert not unreadable
    assert entry.finished
    assert not entry.notes
    assert entry.name == "toy/s5/0a1b2c3d-s0"
    assert entry.score("test") == outcome.metrics["test"]["accuracy"]
    assert entry["confusion"] == outcome.confusion
    assert entry["wall_s"] == outcome.wall_s
    assert entry.settings["model.layer.d_state"] == "8"
    assert entry.settings["optimizer.algorithm"] == "AdamW"
    curve = [row["val/loss"] for row in outcome.history]
    assert [row["val/loss"] for row in entry.history] == pytest.approx(curve)


def test_the_best_run_of_a_task_comes_first(outputs, add_run):
    for place, test in enumerate((0.4, 0.6, None, 0.5)):
        add_run(f"listops/s5/0-s{place}", test=test)
    for place, rmse in enumerate((3.0, 2.0)):
        add_run(f"bidmc_hr/s5/0-s{place}", task="bidmc_hr", metric="rmse", metrics={"test": {"rmse": rmse}})
    (outputs / "listops/s5/0-s9").mkdir()
    write_metrics(outputs / "listops/s5/0-s9" / "metrics.csv", 2)
    entries, _ = find(outputs)
    assert [entry.score("test") for entry in entries] == [2.0, 3.0, 0.6, 0.5, 0.4, None, None]
    assert [entry.finished for entry in entries] == [True] * 6 + [False]


def test_an_unfinished_run_is_known_by_its_folder_and_configuration(outputs):
    folder = outputs / "bidmc_hr" / "s4d" / "0a1b2c3d-s7.2"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(
        "seed: 7\nepochs: 9\nname: {task: '${hydra:runtime.choices.data}'}\n"
        "paths: {run_dir: '${hydra:runtime.output_dir}'}\ndata: {seed: '${seed}'}\n"
        "trainer: {max_epochs: '${epochs}', default_root_dir: '${paths.run_dir}'}\n"
    )
    (folder / ".hydra" / "overrides.yaml").write_text("- model=s4d\n- seed=7\n")
    (folder / "pretrain").mkdir()
    (folder / "pretrain" / "metrics.csv").write_text("epoch,pretrain/val/loss\n0,1.5\n")
    write_metrics(folder / "metrics.csv", 2, "rmse")
    (entry,), unreadable = find(outputs)
    assert not unreadable
    assert (entry["task"], entry["model"], entry["seed"], entry["metric"]) == ("bidmc_hr", "s4d", 7, "rmse")
    assert entry.overrides == ["model=s4d", "seed=7"]
    assert entry.settings == {"seed": "7", "epochs": "9", "data.seed": "7", "trainer.max_epochs": "9"}
    assert len(entry.history) == 2
    assert entry.pretraining == [{"epoch": 0.0, "pretrain/val/loss": 1.5}]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "no JSON: Expecting property name"),
        (b"", "no JSON"),
        (b"\xff\xfe", "no text"),
        (b"[1, 2]", "holds no object"),
        (b"{}", "no task, so not written by"),
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps(record(seed="x")).encode(), "seed is not a whole number"),
        (json.dumps(record(seed=10**30)).encode(), "seed is not a whole number"),
        (json.dumps(record(metrics=[1])).encode(), "metrics is not an object"),
        (json.dumps(record(metrics={"test": 1})).encode(), "metrics.test is not an object"),
        (json.dumps(record(wall_s="long")).encode(), "wall_s is not a number"),
        (json.dumps(record(hardware="a GPU")).encode(), "hardware is not an object"),
        (json.dumps(record(confusion={"classes": ["a"], "counts": [[1, 2]]})).encode(), "confusion is not a name"),
        (json.dumps(record(confusion={"classes": ["a"], "counts": [["1"]]})).encode(), "confusion is not a name"),
    ],
)
def test_a_broken_or_foreign_record_is_listed_with_its_reason(outputs, add_run, content, reason):
    add_run("listops/s5/good-s0")
    folder = add_run("listops/s5/bad-s0")
    (folder / "result.json").write_bytes(content)
    entries, (unreadable,) = find(outputs)
    assert [entry.name for entry in entries] == ["listops/s5/good-s0"]
    assert unreadable.path == folder / "result.json"
    assert reason in unreadable.reason
    assert "\n" not in unreadable.reason


def test_deep_settings_are_listed_too(outputs, add_run):
    folder = add_run()
    text = (folder / "result.json").read_text()
    depth = sys.getrecursionlimit()  # from Python 3.12 on json goes deeper; what walks through the settings does not
    (folder / "result.json").write_text(text.replace('"d_model": 64', '"d": ' + '{"d": ' * depth + "1" + "}" * depth))
    entries, unreadable = find(outputs)
    assert not entries
    assert [each.reason for each in unreadable] == ["nested too deeply"]


def test_numbers_that_are_none_are_left_out(outputs, add_run):
    add_run(metrics={"test": {"accuracy": None, "loss": float("nan")}}, baseline=float("inf"), wall_s=10**400)
    (entry,), unreadable = find(outputs)
    assert not unreadable
    assert entry["metrics"] == {"test": {"accuracy": None, "loss": None}}
    assert entry["baseline"] is None
    assert entry["wall_s"] is None


def test_a_record_of_an_earlier_version_is_shown(outputs, add_run):
    old = {key: value for key, value in record().items() if key not in ("baseline", "commit", "hardware", "versions")}
    folder = add_run()
    (folder / "result.json").write_text(json.dumps(old | {"majority": 0.2}))
    (entry,), unreadable = find(outputs)
    assert not unreadable
    assert entry["baseline"] is None


@pytest.mark.parametrize("content", [b"\xff", b"loss\n1\n", b"epoch,loss\nx,1\n", b"epoch\n" + b"1" * 200_000])
def test_damaged_curves_are_noted_and_the_run_is_shown(outputs, add_run, content):
    folder = add_run()
    (folder / "metrics.csv").write_bytes(content)
    (entry,), unreadable = find(outputs)
    assert not unreadable
    assert entry.history == []
    assert entry.notes[0].startswith("metrics.csv: ")


def test_gaps_and_spare_values_of_curves_are_skipped(outputs, add_run):
    folder = add_run()
    (folder / "metrics.csv").write_text("epoch,lr,val/loss\n0,0.1,\n1,,nan,7,8\n2,x,1.5\n")
    (entry,), _ = find(outputs)
    assert entry.history == [{"epoch": 0.0, "lr": 0.1}, {"epoch": 1.0}, {"epoch": 2.0, "val/loss": 1.5}]


def test_a_record_that_is_a_folder_is_listed(outputs, add_run):
    folder = add_run()
    (folder / "result.json").unlink()
    (folder / "result.json").mkdir()
    entries, (unreadable,) = find(outputs)
    assert not entries
    assert unreadable.reason == "Is a directory"


def test_a_foreign_record_hides_no_run_below_it(outputs, add_run):
    add_run()
    (outputs / "result.json").write_text("{}")
    (outputs / "listops" / "result.json").write_text("{}")
    entries, unreadable = find(outputs)
    assert len(entries) == 1
    assert len(unreadable) == 2


def test_a_place_that_is_no_folder_is_listed(outputs):
    outputs.write_text("")
    entries, (unreadable,) = find(outputs)
    assert not entries
    assert unreadable.reason == "Not a directory"
