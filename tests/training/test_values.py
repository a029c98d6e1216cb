"""Values are held against the annotations of what they are for."""

import pytest
from omegaconf import OmegaConf

from longrange.cli import CONFIG_DIR, compose
from longrange.diagnose import group_options
from longrange.errors import ConfigError
from longrange.training.values import check_values


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seed=2.5", "seed=2.5: must be a whole number"),
        ("seed=true", "seed=True: must be a whole number"),
        ("seed=null", "seed=null: must be a whole number"),
        ("seed={a:1}", "seed=.*: must be a whole number"),
        ("save_every_s=-1", "save_every_s=-1: must not be negative"),
        ("graphs=maybe", "graphs=maybe: must be true or false"),
        ("trainer.limit_val_batches={a:1}", "trainer.limit_val_batches=.*must be a whole number or a finite number"),
        ("trainer.precision=half", "trainer.precision=half: must be .* or tf32"),
        ("trainer.default_root_dir=nan", "trainer.default_root_dir=nan: must be text or a path"),
        ("data.batch_size='8'", "data.batch_size=8: must be a whole number"),
        ("data.eval_batch_size=inf", "data.eval_batch_size=inf: must be a whole number or null"),
        ("data.bucket=1", "data.bucket=1: must be true or false"),
        ("data.recipe=small", "data.recipe=small: must be a group of keys with a _target_"),
        ("data.recipe.p_operator=nan", "data.recipe.p_operator=nan: must be a finite number"),
        ("model.layer=s5", "model.layer=s5: must be a group of keys with a _target_"),
        ("model.pooling=max", "model.pooling=max: must be mean or last"),
        ("model.layer.dt_min=small", "model.layer.dt_min=small: must be a finite number"),
        ("optimizer.ssm_lr=[]", r"optimizer.ssm_lr=\[\]: must be a finite number"),
        ("optimizer.rules.ssm.lr=inf", "optimizer.rules.ssm.lr=inf: must be a finite number"),
        ("optimizer.algorithm.betas=[0.9]", "betas=.*must be a list of 2, each item .*a finite number"),
        ("optimizer.ssm_lr=-1", "optimizer.ssm_lr=-1: must not be negative"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: must not be negative"),
        ("optimizer.rules.ssm.patterns=all", "optimizer.rules.ssm.patterns=all: must be a list, each item text"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(override, told):
    with pytest.raises(ConfigError, match=told):
        check_values(compose("train", ["experiment=listops/s5", override]))


@pytest.mark.parametrize("override", ["model.layer.dt_min=1", "data.eval_batch_size=null", "trainer.precision=tf32"])
def test_a_value_of_a_type_that_is_taken_passes(override):
    check_values(compose("train", ["experiment=listops/s5", override]))


def test_every_data_set_and_model_passes_as_it_is():
    for group in ("data", "model", "optimizer", "scheduler", "trainer"):
        for option in group_options(CONFIG_DIR, group):
            check_values(compose("train", [f"{group}={option}"]))


def test_what_is_not_annotated_or_cannot_be_found_is_left_to_others():
    check_values(OmegaConf.create({"a": {"_target_": "builtins.dict", "b": 1}, "c": {"_target_": "no.such", "d": "x"}}))
