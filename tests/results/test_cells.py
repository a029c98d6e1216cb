"""Which runs fill a cell, and what is said of those that do not."""

import pytest

from longrange.results.cells import averages, cells, with_pretrained
from tests.results.made_up_runs import made_up_run, small_table


def cell(*runs, column="listops", row="s5", **options):
    return cells(small_table(), runs, **options)[row, column]


def test_mean_and_deviation_over_seeds():
    filled = cell(made_up_run(test=0.60), made_up_run(seed=1, test=0.62), made_up_run(seed=2, test=0.64))
    assert (filled.n, filled.mean, filled.std) == (3, pytest.approx(62.0), pytest.approx(2.0))
    assert filled.difference == pytest.approx(0.0)
    assert (filled.protocol, filled.gpu_hours, filled.cpu_hours) == ("heldout", 6.0, 0.0)
    assert filled.notes == ()


def test_seeds_that_did_not_take_off_are_said_and_counted():
    stuck = made_up_run(seed=1, test=0.19)
    filled = cell(made_up_run(), stuck, made_up_run(seed=2, test=0.2))
    assert filled.notes == ("1 of 3 seeds stayed at chance",)
    assert (filled.n, filled.mean) == (3, pytest.approx((61 + 19 + 20) / 3))


@pytest.mark.parametrize("facts", [{"baseline": None}, {"metric": "rmse", "baseline": 5.0}])
def test_nothing_is_said_of_chance_where_it_is_not_known(facts):
    assert cell(made_up_run(test=0.1, **facts)).notes == ()


def test_one_run_has_no_deviation():
    assert cell(made_up_run()).std is None


def test_an_empty_cell_has_no_figures():
    empty = cell()
    assert (empty.n, empty.mean, empty.difference, empty.protocol) == (0, None, None, None)


def test_gpus_and_cpus_are_counted_apart():
    filled = cell(made_up_run(gpus=4, hours=3.0), made_up_run(seed=1, gpus=0, hours=5.0))
    assert (filled.gpu_hours, filled.cpu_hours) == (12.0, 5.0)


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        ({"protocol": "paper"}, "not counted, protocol paper: 61.00 (seed 0)"),
        ({"changes": ("model.n_layers=2",)}, "not counted, other settings: 61.00 (model.n_layers=2)"),
    ],
)
def test_another_run_is_named_and_not_counted(facts, note):
    alone = cell(made_up_run(**facts))
    assert (alone.n, alone.notes) == (0, (note,))
    beside = cell(made_up_run(seed=1, test=0.5), made_up_run(**facts))
    assert (beside.mean, beside.notes) == (50.0, (note,))


@pytest.mark.parametrize("facts", [{"smoke": True}, {"pretrain": "masked"}, {"experiment": None}])
def test_a_run_of_something_else_is_not_in_the_cell(facts):
    other = cell(made_up_run(**facts))
    assert (other.n, other.apart, other.notes) == (0, (), ())


def test_the_newest_run_of_a_seed_counts():
    old, new = made_up_run(test=0.5), made_up_run(test=0.6, finished="2026-01-03")
    filled = cell(new, old)
    assert filled.runs == (new,)
    assert filled.notes == ("not counted: 1 run older than another of the same seed",)


def test_what_weakens_a_figure_is_said():
    filled = cell(made_up_run(dirty=True, resumed=True))
    assert filled.notes == ("1 run of code that was not committed", "hours before an interruption are not counted")


def test_the_published_protocol_counts_on_demand_where_there_is_one():
    runs = [made_up_run(), made_up_run(experiment="text/s5", protocol="paper", test=0.9)]
    found = cells(small_table(), runs, protocol="paper")
    assert (found["s5", "listops"].n, found["s5", "text"].n) == (1, 1)
    assert cells(small_table(), runs)["s5", "text"].n == 0


def test_a_cell_without_a_setting():
    found = cells(small_table(), [], experiments=["listops/s5", "text/s4"])
    assert [(key, each.experiment) for key, each in found.items() if each.experiment] == [
        (("s5", "listops"), "listops/s5"),
        (("s4", "text"), "text/s4"),
    ]
    assert found["s4", "text"].notes == ("our settings, none are published",)


def test_a_failure_counts_in_an_average_and_a_missing_cell_prevents_it():
    found = cells(small_table(), [made_up_run(), made_up_run(experiment="text/s5", test=0.81)])
    assert averages(small_table(), found) == {
        "s5": (76.0, pytest.approx(71.0)),
        "s4": (None, None),
        "peer": (45.0, None),
    }


def test_pretrained_runs_get_a_row_of_their_own():
    runs = [
        made_up_run(pretrain="masked", test=0.7),
        made_up_run(),
        made_up_run(experiment="image/s5", pretrain="causal"),
    ]
    table = with_pretrained(small_table(), runs)
    assert list(table.rows) == ["s5", "s5_masked", "s4", "peer"]
    found = cells(table, runs)
    assert (found["s5", "listops"].mean, found["s5_masked", "listops"].mean) == (61.0, pytest.approx(70.0))
