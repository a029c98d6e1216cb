"""Which key an override sets, and what makes a training another setting than its experiment's."""

import pytest

from longrange.overrides import is_within, key_of, setting_changes, without


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.batch_size=4", "data.batch_size"),
        ("++data.of=a=b", "data.of"),
        ("~logger", "logger"),
        ("logger@other=csv", "logger"),
        ("hydra/launcher=joblib", "hydra/launcher"),
    ],
)
def test_the_key_of_an_override(override, key):
    assert key_of(override) == key


def test_a_key_stands_for_all_below_it_and_for_no_other():
    assert is_within("paths.data", {"paths"})
    assert is_within("hydra/launcher", {"hydra"})
    assert not is_within("seeds", {"seed"})
    assert without(["paths.data=/d", "+seed=1", "seeds=1", "model=s4"], {"paths", "seed"}) == ["seeds=1", "model=s4"]


@pytest.mark.parametrize(
    "override",
    [
        *("experiment=listops/s5", "seed=3", "trainer=gpu", "trainer=ddp", "trainer.devices=2"),
        *("logger=wandb", "+logger.wandb.project=x", "paths.data=/d", "data.data_dir=/d", "data.num_workers=4"),
        *(
            "resume=last",
            "launcher=slurm",
            "backend=triton",
            "pretrain=masked",
            "data.protocol=paper",
            "~callbacks.progress",
            *("save_every_s=60", "graphs=true", "model.recompute=true", "expected={1:0.5}"),
        ),
    ],
)
def test_where_and_how_watched_is_no_other_setting(override):
    assert setting_changes([override]) == []


@pytest.mark.parametrize(
    "override",
    [
        *("epochs=2", "data=text", "data.batch_size=8", "model=s4", "model.n_layers=2", "optimizer.lr=0.1"),
        *("trainer=debug", "trainer.limit_train_batches=2", "trainer.precision=bf16-mixed", "trainer.max_epochs=3"),
        *("scheduler=constant", "pretrain.epochs=3", "+data.of=x", "data.recipe.train=8"),
        "accumulate=4",
    ],
)
def test_what_is_trained_is_another_setting(override):
    assert setting_changes(["seed=3", override]) == [override]
