"""What the page says of one run."""

from pathlib import Path

from longrange.results.report.entries import find
from longrange.results.report.single import single

MATRIX = {"classes": ["a", "b", "c"], "counts": [[8, 2, 0], [0, 0, 0], [1, 1, 2]]}


def shown(outputs: Path, page: str = "report.html"):
    (entry,) = find(outputs)[0]
    return single(entry, outputs / page)


def test_facts_are_those_of_the_record(outputs, add_run):
    add_run(pretrain="masked", pretraining={"objective": "masked", "epochs": 5})
    facts = dict(shown(outputs).facts)
    assert facts["accuracy"] == "test 50.00%, val 52.00%"
    assert facts["selected epoch"] == "2 of 3"
    assert facts["command"] == "python scripts/train.py model=s5 seed=0 paths.data=/somewhere save_every_s=60"
    assert facts["pretraining"] == "masked for 5 epochs"
    assert facts["peak memory"] == "1 MiB"
    assert (facts["protocol"], facts["seed"], facts["time in training"]) == ("heldout", "0", "90 s")
    assert "resumed from" not in facts


def test_curves_are_of_both_splits_with_the_selected_epoch(outputs, add_run):
    add_run()
    accuracy, loss, rate = shown(outputs).charts
    assert [line.name for line, _ in accuracy.lines] == ["train", "val"]
    assert accuracy.mark is not None
    assert loss.mark is not None
    assert accuracy.level is not None
    assert rate.title == "learning rate"


def test_shades_of_the_confusion_matrix_are_shares_of_the_class(outputs, add_run):
    add_run(confusion=MATRIX)
    matrix = shown(outputs).confusion
    assert matrix.written_out
    assert matrix.classes == ["a", "b", "c"]
    assert matrix.rows == [
        ([(8, 8), (2, 2), (0, 0)], "80.0%"),
        ([(0, 0), (0, 0), (0, 0)], ""),
        ([(1, 2), (1, 2), (2, 5)], "50.0%"),
    ]


def test_files_are_linked_from_the_page_if_they_are_there(outputs, add_run):
    add_run("list ops/s5/#1?-s0")
    assert dict(shown(outputs).files) == {
        "result.json": "list%20ops/s5/%231%3F-s0/result.json",
        ".hydra/config.yaml": "list%20ops/s5/%231%3F-s0/.hydra/config.yaml",
        "metrics.csv": "list%20ops/s5/%231%3F-s0/metrics.csv",
    }
    elsewhere = dict(shown(outputs, "../shown/page.html").files)
    assert elsewhere["result.json"] == "../outputs/list%20ops/s5/%231%3F-s0/result.json"


def test_an_empty_record_of_a_run_is_shown(outputs):
    (outputs / "listops" / "s5" / "0-s0" / ".hydra").mkdir(parents=True)
    (outputs / "listops" / "s5" / "0-s0" / ".hydra" / "config.yaml").write_text("[")
    run = shown(outputs)
    assert run.state == "unfinished"
    assert run.charts == []
    assert run.notes[0].startswith(".hydra/config.yaml: ")
