"""A training from its configuration to its outcome: data, task, trainer, fit, test."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter

from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from longrange.data.module import SequenceDataModule
from longrange.errors import ConfigError
from longrange.kernels import backend
from longrange.provenance import git_state
from longrange.training.build import build, build_task, build_trainer, precision_on
from longrange.training.callbacks import History, Throughput
from longrange.training.checkpoint import (
    BestAndLast,
    adopt_best,
    batches_behind,
    check_best,
    epochs_done,
    load,
    load_weights,
    resolve,
)
from longrange.training.confusion import confusion
from longrange.training.durable import sole_writer
from longrange.training.graphs import Replayed, check_graphs
from longrange.training.groups import groups_table
from longrange.training.loggers import TestedEpoch, close
from longrange.training.noise import quiet
from longrange.training.outcome import Outcome
from longrange.training.peak_memory import peak_memory_bytes, reset_peak
from longrange.training.pretrain import Origin, Stage, check_origin
from longrange.training.stopping import StopOnSignal
from longrange.training.task import SequenceTask
from longrange.training.values import check_values

log = logging.getLogger(__name__)


def train(cfg: DictConfig, *watchers: Callback) -> Outcome:
    """Train, select the best epoch by the validation metric, and read the test split once, from that epoch.

    Args:
        cfg: as composed from configs/train.yaml. `resume` goes on with a run, bit for bit as if it had not been
            interrupted; see `longrange.training.checkpoint.resolve`.
        watchers: callbacks beside those of the configuration.
    Returns:
        What was measured.
    Raises:
        LongrangeError: a mistake of the user's, in one line; see the classes of `longrange.errors`.
        StoppedError: it was told to stop, and wrote a checkpoint first.
    """
    check_values(cfg)
    if "seed" not in cfg.data:
        raise ConfigError(
            "data.seed: missing, so all seeds would have the same order of examples; configs/data/<name>.yaml needs "
            "the line `seed: ${seed}`"
        )
    git_state()  # now: what is committed while it trains is not what trains
    with sole_writer(Path(cfg.paths.run_dir)) if rank_zero_only.rank == 0 else nullcontext():
        return _train(cfg, watchers)


def _train(cfg: DictConfig, watchers: Sequence[Callback]) -> Outcome:
    data = build(cfg.data)
    task = build_task(cfg, data.spec)
    stage = Stage(cfg, task) if cfg.get("pretrain") else None
    _announce(task)
    folder = Path(cfg.paths.run_dir, "checkpoints")
    resumed_from = None if stage and stage.resumed_from else _prepare_resume(cfg, task, data, folder)
    loggers, failed = [], True
    try:
        for logger in (cfg.get("logger") or {}).values() if rank_zero_only.rank == 0 else []:
            loggers.append(build(logger))
        with quiet():
            origin = Origin(stage.run(data, loggers) if stage and not resumed_from else None)
            outcome = _run(cfg, data, task, loggers, folder, resumed_from, origin, watchers)
        failed = False
    finally:
        close(loggers, failed)
    return outcome


@rank_zero_only
def _announce(task: SequenceTask) -> None:
    Console().print(groups_table(task.groups()))


def _prepare_resume(cfg: DictConfig, task: SequenceTask, data: SequenceDataModule, folder: Path) -> Path | None:
    """Find the checkpoint to resume from, refuse one that does not fit, say where the run goes on."""
    path = resolve(cfg.resume, folder)
    if path is None:
        return None
    checkpoint, epochs = load(path), cfg.trainer.max_epochs
    done = epochs_done(checkpoint, task.model, epochs, path)
    check_origin(checkpoint, cfg, path)
    data.epochs_behind, data.behind = done, batches_behind(checkpoint)
    if done > 0:
        adopt_best(path, checkpoint, folder)
    if done == epochs:
        log.info(f"{path}: all {epochs} epochs are done, there is nothing left to train; testing the best one again")
    else:
        within = f" and {data.behind} batches of the next" if data.behind else ""
        log.info(f"{path}: going on after epoch {done}/{epochs}{within}")
    return path


def _run(
    cfg: DictConfig,
    data: SequenceDataModule,
    task: SequenceTask,
    loggers: list[Logger],
    folder: Path,
    resumed_from: Path | None,
    origin: Origin,
    watchers: Sequence[Callback],
) -> Outcome:
    history, speed, checkpoints = History(), Throughput(), BestAndLast(folder, cfg.save_every_s)
    watchers = [*(build(callback) for callback in (cfg.get("callbacks") or {}).values()), *watchers]
    trainer = build_trainer(
        cfg.trainer,
        [history, speed, origin, *watchers, StopOnSignal(checkpoints), checkpoints, TestedEpoch(checkpoints)],
        loggers,
    )
    device = trainer.strategy.root_device
    kernels = backend.resolve(device)
    if cfg.graphs:
        check_graphs(trainer, data.spec, recompute=task.model.recompute)
        task.replayed = Replayed(task.model)
    if trainer.is_global_zero:
        overruled = f" (trainer.max_epochs, in place of epochs={cfg.epochs})" * (cfg.trainer.max_epochs != cfg.epochs)
        log.info(
            f"{cfg.trainer.max_epochs} epochs{overruled} on {device}, kernels: {kernels}, "
            f"run folder: {cfg.paths.run_dir}"
        )
    for logger in loggers:
        logger.log_hyperparams(task.config)
    reset_peak(device)
    began = perf_counter()
    trainer.fit(task, data, ckpt_path=resumed_from, weights_only=True)
    wall_s = perf_counter() - began
    load_weights(task.model, check_best(checkpoints.best, checkpoints.best_epoch), checkpoints.best)
    (test,) = trainer.test(task, data, verbose=False)
    best_row = next(row for row in history.rows if row["epoch"] == checkpoints.best_epoch)
    return Outcome(
        run_dir=Path(cfg.paths.run_dir),
        metric=task.metric,
        history=history.rows,
        metrics=by_split({**best_row, **test}),
        best_epoch=checkpoints.best_epoch,
        best_checkpoint=checkpoints.best,
        n_parameters=sum(p.numel() for p in task.model.parameters() if p.requires_grad),
        protocol=data.protocol,
        baseline=task.baseline(),
        precision=precision_on(device, cfg.trainer),
        backend=kernels,
        wall_s=wall_s,
        samples_per_s=speed.samples_per_s,
        peak_memory_bytes=peak_memory_bytes(device),
        resumed_from=resumed_from,
        pretraining=origin.pretraining,
        confusion=confusion(task, data),
        processes=trainer.world_size,
    )


def by_split(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """{"val/loss": 1.0, ...} as {"val": {"loss": 1.0}, ...}; what belongs to no split is left out."""
    splits: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        split, slash, metric = name.partition("/")
        if slash:
            splits.setdefault(split, {})[metric] = float(value)
    return splits
