"""The best point as an experiment trains what its trial trained."""

import pytest

from longrange.cli import compose
from longrange.tuning.best import write_experiment


@pytest.mark.parametrize(
    "point",
    [
        ["experiment=quickstart", "optimizer.lr=0.0123", "model.n_layers=2", "epochs=3", "data.recipe.train=100"],
        ["experiment=listops/s5", "optimizer=s5_noBCdecay", "optimizer.ssm_lr=1e-05", "model.block.dropout=0.1"],
        ["data=image", "model=s4d", "optimizer=s4", "trainer.gradient_clip_val=1", "+model.layer.lr={dt: 0.1}"],
    ],
)
def test_the_file_composes_to_the_same_training(tmp_path, point):
    path = write_experiment(point, ["Trial 3."], tmp_path, "best_mine")
    assert path == tmp_path / "experiment" / "best_mine.yaml"
    assert path.read_text().startswith("# @package _global_\n# Trial 3.\n")
    loaded = compose("train", [f"hydra.searchpath=[file://{tmp_path}]", "experiment=best_mine"], tmp_path)
    trained = compose("train", point, tmp_path)
    assert loaded.name.task == trained.name.task
    assert loaded.name.model == trained.name.model
    assert {key: loaded[key] for key in loaded if key != "name"} == {
        key: trained[key] for key in trained if key != "name"
    }


def test_what_says_only_where_it_ran_stays_out(tmp_path):
    where = [
        "trainer=gpu",
        "trainer.devices=2",
        "logger=wandb",
        "paths.data=/x",
        "seed=3",
        "backend=cpu",
    ]
    text = write_experiment([*where, "experiment=quickstart", "epochs=2"], [], tmp_path, "best").read_text()
    assert text == "# @package _global_\ndefaults:\n- quickstart\n- _self_\nepochs: 2\n"
