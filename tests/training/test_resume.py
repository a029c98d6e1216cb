"""A training that was stopped anywhere goes on as if it had not been."""

import logging
import multiprocessing
import os
import shutil
import signal
import time
import warnings

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from toy_task import InterruptAt, InterruptedAtError, toy_config

from longrange.errors import CheckpointError, StoppedError
from longrange.training import checkpoint as checkpoints
from longrange.training import train
from longrange.training.durable import damaged_part, keep_previous, sole_writer
from longrange.training.loggers import EpochCSV

FORK = multiprocessing.get_context("fork")
PLAIN = ["epochs=3"]


class SignalAt(Callback):
    """Sends this process a signal in one batch."""

    def __init__(self, number: int, epoch: int, batch: int, validation: bool = False):
        self.number, self.where, self.validation = number, (epoch, batch), validation

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if not self.validation and (trainer.current_epoch, batch_idx) == self.where:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.validation and (trainer.current_epoch, batch_idx) == self.where:
            os.kill(os.getpid(), self.number)


def same(ours, theirs) -> bool:
    """Curves, test metrics, best epoch and final weights, bit by bit."""
    weights = [
        torch.load(run.run_dir / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (ours, theirs)
    ]
    assert ours.history == theirs.history
    assert ours.metrics == theirs.metrics
    assert ours.best_epoch == theirs.best_epoch
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Never stopped, by kind of training."""
    made = {}

    def of(*overrides):
        if overrides not in made:
            made[overrides] = train(toy_config(tmp_path_factory.mktemp("whole"), *PLAIN, *overrides))
        return made[overrides]

    return of


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("scheduler=plateau", "scheduler.patience=0"),
        ("accumulate=2", "model.block.norm=layer"),
        ("trainer.precision=bf16-mixed",),
    ],
    ids=["cosine", "plateau", "accumulated", "bf16"],
)
@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (2, 5)])
def test_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(whole, tmp_path, overrides, epoch, batch):
    reference = whole(*overrides)
    with pytest.raises(StoppedError, match="stopped by SIGTERM at step"):
        train(toy_config(tmp_path, *PLAIN, *overrides), SignalAt(signal.SIGTERM, epoch, batch))
    written = checkpoints.load(tmp_path / "checkpoints/last.ckpt")
    assert checkpoints.batches_behind(written) in (batch + 1, batch + 2)  # the parts of a step are finished
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(train(toy_config(tmp_path, *PLAIN, *overrides, "resume=auto")), reference)


@pytest.mark.parametrize("batch", [0, 5], ids=["at its begin", "within it"])
def test_loader_processes_go_on_in_the_epoch_of_the_checkpoint(whole, tmp_path, batch):
    cfg = toy_config(tmp_path, *PLAIN, "save_every_s=0")
    cfg.data.num_workers = 1
    cfg.callbacks.interrupt = {"_target_": "toy_task.InterruptAt", "epoch": 2, "batch": batch}
    with pytest.raises(InterruptedAtError):
        train(cfg)
    assert checkpoints.batches_behind(checkpoints.load(tmp_path / "checkpoints/last.ckpt")) == batch
    cfg = toy_config(tmp_path, *PLAIN, "resume=auto")
    cfg.data.num_workers = 1
    assert same(train(cfg), whole())


def test_a_stop_in_validation_loses_the_last_step_at_most(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "BEFORE_VALIDATION_S", -1.0)
    with pytest.raises(StoppedError, match="SIGUSR1"):
        train(toy_config(tmp_path, *PLAIN), SignalAt(signal.SIGUSR1, 1, 0, validation=True))
    assert checkpoints.batches_behind(checkpoints.load(tmp_path / "checkpoints/last.ckpt")) == 7  # of 8
    assert same(train(toy_config(tmp_path, *PLAIN, "resume=auto")), whole())


def test_an_epoch_longer_than_the_interval_is_written_within(whole, tmp_path):
    cfg = toy_config(tmp_path, *PLAIN, "save_every_s=0")
    cfg.callbacks.interrupt = {"_target_": "toy_task.InterruptAt", "epoch": 1, "batch": 4}
    with pytest.raises(InterruptedAtError):
        train(cfg)
    assert checkpoints.batches_behind(checkpoints.load(tmp_path / "checkpoints/last.ckpt")) == 4
    assert checkpoints.batches_behind(checkpoints.load(tmp_path / "checkpoints/previous.ckpt")) == 3
    assert same(train(toy_config(tmp_path, *PLAIN, "resume=auto")), whole())


def test_ctrl_c_stops_after_the_step_and_the_answer_to_signals_comes_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StoppedError) as stop:
        train(toy_config(tmp_path, *PLAIN), SignalAt(signal.SIGINT, 0, 1))
    assert stop.value.number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


def test_auto_begins_a_run_that_has_no_checkpoint(whole, tmp_path):
    assert same(train(toy_config(tmp_path, *PLAIN, "resume=auto")), whole())


def stopped(tmp_path, epoch: int = 2, batch: int = 1):
    """A run with last, previous and best checkpoints."""
    with pytest.raises(InterruptedAtError):
        train(toy_config(tmp_path, *PLAIN), InterruptAt(epoch, batch))
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(whole, tmp_path, damage, caplog):
    last = stopped(tmp_path) / "last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "flipped":
        moments = torch.load(last, weights_only=True)["optimizer_states"][0]["state"][0]["exp_avg"]
        content[content.index(moments.numpy().tobytes())] ^= 1
    last.write_bytes({"truncated": content[:-1000], "flipped": content, "empty": b"", "foreign": b"hello"}[damage])
    caplog.set_level(logging.INFO)
    assert same(train(toy_config(tmp_path, *PLAIN, "resume=auto")), whole())
    (line,) = [record.message for record in caplog.records if "trying the one before" in record.message]
    assert str(last) in line
    assert any(f"{last.with_name('previous.ckpt')}: going on after epoch 1/3" in r.message for r in caplog.records)


@pytest.mark.parametrize("damage", [False, True], ids=["of a later epoch", "damaged"])
def test_a_best_epoch_that_is_not_the_one_meant_is_not_taken_for_it(tmp_path, damage):
    folder = stopped(tmp_path, epoch=2)  # the first two are behind it
    shutil.copyfile(folder / "last.ckpt", folder / "best.ckpt")
    state = checkpoints.load(folder / "last.ckpt")
    state["callbacks"]["BestAndLast"] |= {"best_epoch": 0, "best_score": 2.0}  # better than any accuracy to come
    torch.save(state, folder / "last.ckpt")
    if damage:
        (folder / "best.ckpt").write_bytes(b"PK")
    outcome = train(toy_config(tmp_path, *PLAIN, "resume=auto"))
    assert outcome.best_epoch == 2 == checkpoints.load(outcome.best_checkpoint)["epoch"]


def test_a_flipped_bit_is_not_loaded(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"a": torch.arange(1000.0)}, path)
    assert damaged_part(path) is None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # torch does not notice
    with pytest.raises(CheckpointError, match=r"damaged \(a/data/0 is not what was written\)"):
        checkpoints.load(path)


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    folder = stopped(tmp_path, epoch=1)
    for path in folder.glob("*.ckpt"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no good checkpoint among last\.ckpt, best\.ckpt"):
        train(toy_config(tmp_path, *PLAIN, "resume=auto"))


@pytest.mark.parametrize("name", ["metrics.csv", "last.ckpt"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(whole, tmp_path, monkeypatch, name):
    folder, sync = stopped(tmp_path, epoch=1), os.fsync
    files = (folder / "last.ckpt", tmp_path / "metrics.csv")
    before = [file.read_bytes() for file in files]

    def full(handle):
        if name in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match=rf"{name}: cannot be written .No space left on device.*go on from"):
            train(toy_config(tmp_path, *PLAIN, "resume=auto"))
    assert files[0].read_bytes() == before[0]
    assert files[1].read_bytes().startswith(before[1])
    assert {path.name for path in folder.iterdir()} <= {"best.ckpt", "last.ckpt", "previous.ckpt"}
    assert same(train(toy_config(tmp_path, *PLAIN, "resume=auto")), whole())


def test_the_curve_is_whole_or_the_old_one(tmp_path, monkeypatch):
    EpochCSV(str(tmp_path)).log_metrics({"epoch": 0, "val/loss": 1.0})
    before = (tmp_path / "metrics.csv").read_bytes()
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        EpochCSV(str(tmp_path)).log_metrics({"epoch": 1, "val/loss": 0.5})
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_what_a_killed_writer_left_is_removed(tmp_path):
    """By the next one, and by nobody while a writer lives."""
    draft = tmp_path / "checkpoints/.last.ckpt.1.partial"
    draft.parent.mkdir()
    draft.write_bytes(b"half")
    with sole_writer(tmp_path):
        assert not draft.exists()
        draft.write_bytes(b"half")
        with pytest.raises(CheckpointError, match="another training"), sole_writer(tmp_path):
            pass
        assert draft.exists()


def hold(folder, ready):
    """Write into a folder, with a loader beside, until killed."""
    with sole_writer(folder):
        loader = FORK.Process(target=time.sleep, args=(60,))
        loader.start()
        ready.put(loader.pid)
        time.sleep(60)


def test_the_loaders_of_a_killed_training_block_nobody(tmp_path):
    """They live on for seconds, with all files that were open when they were made."""
    ready = FORK.SimpleQueue()
    training = FORK.Process(target=hold, args=(tmp_path, ready))
    training.start()
    loader = ready.get()
    with pytest.raises(CheckpointError, match="another training"), sole_writer(tmp_path):
        pass
    training.kill()
    training.join()
    try:
        with sole_writer(tmp_path):
            os.kill(loader, 0)  # it lives
    finally:
        os.kill(loader, signal.SIGKILL)


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    """As those of some clouds are."""
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    (tmp_path / "last").write_bytes(b"first")
    keep_previous(tmp_path / "last", tmp_path / "previous")
    assert (tmp_path / "previous").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["previous"]


def test_checkpoints_hold_no_code(tmp_path):
    stopped(tmp_path)
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1


def test_a_second_training_does_not_write_into_the_folder_of_a_first(tmp_path):
    class Intrude(Callback):
        """Starts another training in the same folder, from within the first."""

        def on_train_start(self, trainer, pl_module):
            with pytest.raises(CheckpointError, match="another training is writing here"):
                train(toy_config(tmp_path, *PLAIN))

    train(toy_config(tmp_path, *PLAIN), Intrude())
    train(toy_config(tmp_path, *PLAIN, "resume=auto"))
