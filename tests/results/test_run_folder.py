"""Where runs go."""

import pytest

from longrange.errors import CheckpointError
from longrange.results.run_folder import overrides_hash, remove_unused, run_folder
from longrange.training.durable import sole_writer


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


@pytest.fixture
def refused(tmp_path):
    """The folder of a run that was refused, as Hydra and a training leave it."""
    path = tmp_path / "outputs" / "listops" / "s5" / "1a2b3c4d-s0"
    (path / ".hydra").mkdir(parents=True)
    for name in (".hydra/config.yaml", ".lock", "train.log"):
        (path / name).touch()
    return path


def test_nothing_is_left_of_a_refused_run(refused, tmp_path):
    remove_unused(refused, tmp_path / "outputs" / "listops")
    assert [path.name for path in tmp_path.rglob("*")] == ["outputs"]


@pytest.mark.parametrize("worth", ["checkpoints/last.ckpt", "metrics.csv", "result.json", "pretrain/metrics.csv"])
def test_a_folder_that_holds_more_is_kept_whole(refused, tmp_path, worth):
    (refused / worth).parent.mkdir(exist_ok=True)
    (refused / worth).touch()
    before = sorted(tmp_path.rglob("*"))
    remove_unused(refused, tmp_path / "outputs")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_another_process_trains_in_is_kept(refused, tmp_path):
    with sole_writer(refused):
        remove_unused(refused, tmp_path / "outputs")
    assert (refused / "train.log").exists()


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
