"""Where runs go."""

import pytest

from longrange.errors import CheckpointError
from longrange.results.run_folder import overrides_hash, run_folder


def folder(tmp_path, *overrides, seed=0, latest=False):
    return run_folder(tmp_path, "listops", "s5", seed, list(overrides), latest=latest)


def test_fresh_runs_of_a_command_do_not_share_a_folder(tmp_path):
    names = []
    for _ in range(3):
        path = folder(tmp_path, "model.n_layers=2", seed=4)
        path.mkdir(parents=True)
        names.append(path.name)
    stem = f"{overrides_hash(['model.n_layers=2'])}-s4"
    assert names == [stem, f"{stem}.2", f"{stem}.3"]
    assert path.parent == tmp_path / "listops" / "s5"
    assert folder(tmp_path, "model.n_layers=2", seed=4, latest=True) == path


def test_a_start_that_came_to_nothing_hides_no_interrupted_run(tmp_path):
    first, second, third = (folder(tmp_path).with_suffix(suffix) for suffix in ("", ".2", ".3"))
    for path in (first, second):
        path.mkdir(parents=True)
    assert folder(tmp_path, latest=True) == second
    (first / "checkpoints").mkdir()
    (first / "checkpoints" / "last.ckpt").touch()
    assert folder(tmp_path, latest=True) == first
    (first / "result.json").touch()
    assert folder(tmp_path, latest=True) == second  # a finished run does not take the place of one that has begun
    (third / "pretrain" / "checkpoints").mkdir(parents=True)
    (third / "pretrain" / "checkpoints" / "previous.ckpt").touch()
    assert folder(tmp_path, latest=True) == third


def test_latest_needs_an_earlier_run(tmp_path):
    with pytest.raises(CheckpointError, match="has not run yet"):
        folder(tmp_path, latest=True)


def test_the_order_of_overrides_does_not_matter():
    assert overrides_hash(["a=1", "b=2"]) == overrides_hash(["b=2", "a=1"])


CHANGES = ["model.n_layers=3", "+model.x=1", "optimizer=s5_noBCdecay", "trainer=gpu", "seeds=1"]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_result_changes_the_folder(change):
    assert overrides_hash(["experiment=quickstart", change]) != overrides_hash(["experiment=quickstart"])


@pytest.mark.parametrize(
    "change",
    ["seed=3", "resume=last", "logger=wandb", "+logger.x=1", "~logger", "paths.outputs=/tmp", "callbacks=null"],
)
def test_what_changes_no_result_changes_no_folder(change):
    assert overrides_hash(["experiment=quickstart", change]) == overrides_hash(["experiment=quickstart"])
