"""From a command line's configuration to a trained, evaluated and resumed model, on really generated ListOps."""

import pytest

from longrange.cli import compose
from longrange.errors import CheckpointError, ConfigError
from longrange.training import evaluate, train

SMALL = [
    *("data.recipe.train=200", "data.recipe.val=30", "data.recipe.test=30", "data.batch_size=20"),
    *("model.d_model=8", "model.n_layers=1", "model.layer.d_state=8", "model.layer.n_blocks=2"),
    "epochs=2",
]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The quickstart on 200 expressions, and a folder for its data."""
    return ["experiment=quickstart", f"paths.data={tmp_path_factory.mktemp('data')}", *SMALL]


@pytest.fixture(scope="module")
def run(command, tmp_path_factory):
    """Two epochs of it."""
    return train(compose("train", command, run_dir=tmp_path_factory.mktemp("run")))


def evaluated(run, *overrides):
    (metrics,) = evaluate(compose("evaluate", [f"checkpoint={run.best_checkpoint}", *overrides])).values()
    return metrics


def test_training_gives_finite_metrics_of_every_split(run):
    assert run.metrics.keys() == {"train", "val", "test"}
    assert all(0 <= split["accuracy"] <= 1 and split["loss"] > 0 for split in run.metrics.values())
    assert 0.1 <= run.baseline <= 0.5


def test_evaluation_repeats_the_metrics_of_the_run(run):
    metrics = evaluated(run)
    for split in ("val", "test"):
        assert metrics[split] == pytest.approx(run.metrics[split], rel=1e-6)


def test_evaluation_takes_overrides(run):
    other_batches = evaluated(run, "data.eval_batch_size=7")
    assert other_batches["test"] == pytest.approx(run.metrics["test"], rel=1e-5)
    other_rate = evaluated(run, "rate=2.0")
    assert other_rate["test"]["loss"] != pytest.approx(run.metrics["test"]["loss"], rel=1e-5)


def test_evaluation_on_another_group(run, tmp_path):
    """The same task from files of another seed, named as a whole group."""
    data = ["data=listops_short", f"paths.data={tmp_path}", "data.generator_seed=1", *SMALL[:3]]
    metrics = evaluated(run, *data)
    assert metrics["test"]["loss"] != pytest.approx(run.metrics["test"]["loss"], rel=1e-5)
    assert (tmp_path / "listops_short").is_dir()


def test_evaluation_refuses_a_task_of_another_model(run):
    with pytest.raises(CheckpointError, match=r"another model \(S5, n_layers=1, d_model=8, on ListOps\)"):
        evaluated(run, "data=smnist")


def test_evaluation_refuses_an_experiment(run):
    with pytest.raises(ConfigError, match="a checkpoint brings its own"):
        evaluated(run, "experiment=quickstart")


def test_debug_trainer_runs_every_part(command, tmp_path):
    run = train(compose("train", [*command, "trainer=debug"], run_dir=tmp_path))
    assert [row["epoch"] for row in run.history] == [0]
