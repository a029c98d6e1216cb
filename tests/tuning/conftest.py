"""A search over a task so small that a trial takes a second."""

import pytest
from omegaconf import DictConfig

from longrange.cli import compose

SMALL = [
    *("data.recipe.train=60", "data.recipe.val=20", "data.recipe.test=20", "data.batch_size=20", "epochs=2"),
    *("model.d_model=8", "model.n_layers=1", "model.layer.d_state=8", "model.layer.n_blocks=2"),
]
SPACE = {"optimizer.lr": {"float": [0.001, 0.1], "log": True}}


@pytest.fixture
def arguments(tmp_path_factory, tmp_path) -> list[str]:
    """What would stand behind `scripts/tune.py`; the data is common to all tests."""
    data = tmp_path_factory.getbasetemp() / "tuning-data"
    return ["search=quickstart", "search.trials=3", "heartbeat_s=1", f"paths.data={data}", *SMALL]


@pytest.fixture
def search(arguments, tmp_path):
    """The composed search, with more arguments, over a space that is quickly checked."""

    def composed(*more: str, space: dict = SPACE) -> DictConfig:
        cfg = compose("tune", [*arguments, *more], tmp_path / "search")
        cfg.search.space = space
        return cfg

    return composed
