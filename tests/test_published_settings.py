"""The published S5 settings: each builds the model whose size the authors' code has, on the task's own inputs."""

import pytest
from hydra.utils import instantiate

from longrange.cli import compose

# Parameters of the authors' models, encoder, head and norms included.
PUBLISHED_SIZES = {
    "listops/s5": 188_490,
    "text/s5": 1_321_154,
    "image/s5": 5_133_706,
    "pathfinder/s5": 1_113_602,
    "pathx/s5": 694_018,
}

# Blocks, H, P, J, batch, epochs, global and SSM learning rate, weight decay, dropout: the authors' run scripts.
PUBLISHED_SETTINGS = {
    "listops/s5": (8, 128, 16, 8, 50, 40, 0.003, 0.001, 0.04, 0.0),
    "text/s5": (6, 256, 192, 12, 50, 35, 0.004, 0.001, 0.07, 0.1),
    "image/s5": (6, 512, 384, 3, 50, 250, 0.0045, 0.001, 0.07, 0.1),
    "pathfinder/s5": (6, 192, 256, 8, 64, 200, 0.0045, 0.0009, 0.03, 0.05),
    "pathx/s5": (6, 128, 256, 16, 32, 75, 0.0018, 0.0006, 0.06, 0.0),
}


@pytest.mark.parametrize("experiment", PUBLISHED_SIZES)
def test_parameter_count_is_the_published_one(experiment):
    cfg = compose("train", [f"experiment={experiment}"])
    model = instantiate(cfg.model, spec=instantiate(cfg.data).spec, _convert_="object")
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED_SIZES[experiment]


@pytest.mark.parametrize("experiment", PUBLISHED_SETTINGS)
def test_settings_are_the_published_ones(experiment):
    cfg = compose("train", [f"experiment={experiment}"])
    model, optimizer = cfg.model, cfg.optimizer
    sizes = (model.n_layers, model.d_model, model.layer.d_state, model.layer.n_blocks)
    rates = (optimizer.lr, optimizer.ssm_lr, optimizer.weight_decay, model.block.dropout)
    assert (*sizes, cfg.data.batch_size, cfg.trainer.max_epochs, *rates) == PUBLISHED_SETTINGS[experiment]
    assert model.layer.bidirectional
