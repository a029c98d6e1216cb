"""The one place between Hydra and the scripts: composing, running, and one line for each mistake a user can mend.

A script is a function of a composed configuration under `@main("<config>")`. What is slow to import (torch, Lightning,
datasets) it imports inside that function, so that `--help` and mistyped commands answer at once.

Exit codes: 0 done, 1 a bug (with its traceback), 2 a mistake that the printed line explains, 75 stopped by SIGTERM or
SIGUSR1 after a checkpoint, 130 interrupted, 141 nothing reads its output any more.
"""

import functools
import itertools
import logging
import os
import re
import shlex
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from longrange import diagnose
from longrange.errors import CheckpointError, ConfigError, DivergedError, LongrangeError, StoppedError
from longrange.orchestration import sweep
from longrange.orchestration.gpus import own_gpu
from longrange.orchestration.sweep import JobFailedError
from longrange.ranks import process_count, process_rank
from longrange.results.run_folder import remove_unused, run_folder, scratch_folder
from longrange.secrecy import refuse_secrets
from longrange.terminal import is_unread, unread_ends_it

CONFIG_DIR = Path(__file__).resolve().parents[2] / "configs"

_EXIT_MISTAKE = 2
EXIT_AGAIN = 75  # what sysexits.h calls a temporary failure: start the same command again

Task = Callable[[DictConfig], Any]

_made: dict[Path, Path] = {}  # run folders that are new with this command -> the outermost folder that is


def main(config_name: str, *, open_keys: bool = False, no_sweep: str = "") -> Callable[[Task], Callable[[], None]]:
    """Make a script's entry point out of a function of its configuration.

    Args:
        config_name: file in configs/ without its suffix.
        open_keys: the command line may set keys that this configuration lacks; the task checks them.
        no_sweep: why several jobs (-m) make no sense, and what to do instead; "" where they do.
    Returns:
        A decorator; the decorated function takes no arguments and reads the command line.
    """

    def decorate(task: Task) -> Callable[[], None]:
        @functools.wraps(task)
        def command() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print; the wording is done here
            sys.argv[1:] = sorted(sys.argv[1:], key=lambda word: word not in ("-m", "--multirun"))
            if open_keys:
                sys.argv[1:] = opened(sys.argv[1:])
            _run_folder.cache_clear()
            _new_folder.cache_clear()
            _made.clear()
            run = hydra.main(config_path=str(CONFIG_DIR), config_name=config_name, version_base="1.3")(_job(task))
            with unread_ends_it():
                _exit_with_one_line(run, config_name, no_sweep)

        return command

    return decorate


def opened(arguments: Sequence[str]) -> list[str]:
    """Overrides that may set keys which the configuration lacks: values in groups get Hydra's `++`."""
    return [re.sub(r"^(?=\w+\.[\w.]+=)", "++", argument) for argument in arguments]


def compose(config_name: str, overrides: Sequence[str] = (), run_dir: str | Path = ".") -> DictConfig:
    """The resolved configuration that a script would get, without a command line: for notebooks, tests and searches.

    Args:
        config_name: file in configs/ without its suffix.
        overrides: what would stand on the command line.
        run_dir: what `paths.run_dir` becomes.
    Returns:
        The configuration without Hydra's own part.
    Raises:
        ConfigError: an override holds a secret.
    """
    refuse_secrets(overrides)
    running, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None  # of the job that calls, if one does
    try:
        with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3", job_name=config_name):
            cfg = hydra.compose(config_name, list(overrides), return_hydra_config=True)
    finally:
        GlobalHydra.instance().hydra = running
    cfg.hydra.runtime.output_dir = str(Path(run_dir).absolute())
    earlier = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        resolved = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        OmegaConf.resolve(resolved)
    finally:
        HydraConfig.instance().cfg = earlier
    return resolved


def _register_resolvers() -> None:
    """The interpolations that configs/ uses beside Hydra's own."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_new_resolver("new_folder", _new_folder, replace=True)
    OmegaConf.register_new_resolver("config_groups", _config_groups, replace=True)
    OmegaConf.register_new_resolver("config_targets", _config_targets, replace=True)
    OmegaConf.register_new_resolver("own_gpu", own_gpu, replace=True)


# Hydra and Lightning ask for the run's folder again after it exists; within a command the answer must not change.
@functools.cache
def _run_folder(outputs: str, task: str, layer: str, seed: Any, resume: str | None, overrides: Sequence[str]) -> str:
    folder = functools.partial(run_folder, Path(outputs), task, layer, seed, list(overrides))
    if resume in ("auto", "last"):
        try:
            return str(folder(latest=True).absolute())
        except CheckpointError:
            if resume == "last" and HydraConfig.get().mode is not RunMode.MULTIRUN:
                raise  # in a sweep the training of this job reports it, and the others go on
    if process_rank() > 0:
        return scratch_folder().name
    return _new_folder(str(folder(latest=False)))


@functools.cache
def _new_folder(folder: str) -> str:
    """The folder, which is gone again after a refused command that has made it."""
    new = Path(folder).absolute()
    if not new.exists():
        _made[new] = [each for each in (new, *new.parents) if not each.exists()][-1]
    return str(new)


def _config_groups(*groups: str) -> str:
    """One paragraph a group for --help: its name and all its options."""
    width = max(map(len, groups)) + 2
    paragraphs = [
        textwrap.fill(
            ", ".join(_by_folder(diagnose.group_options(CONFIG_DIR, group))),
            width=100,
            initial_indent=f"  {group:<{width}}",
            subsequent_indent=" " * (width + 2),
            break_on_hyphens=False,
        )
        for group in groups
    ]
    return "\n".join(paragraphs)


def _config_targets() -> ListConfig:
    """All that the files of configs/ name by `_target_`."""
    texts = [path.read_text() for path in CONFIG_DIR.rglob("*.yaml")]
    return OmegaConf.create(sorted({name for text in texts for name in re.findall(r"_target_: *(\S+)", text)}))


def _by_folder(options: Sequence[str]) -> list[str]:
    """Options with those of one folder in one word: folder/{a,b}."""
    words = []
    for folder, members in itertools.groupby(options, key=lambda option: option.rpartition("/")[0]):
        names = [option.rpartition("/")[2] for option in members]
        words += [f"{folder}/{{{','.join(names)}}}"] if folder else names
    return words


def _exit_with_one_line(run: Callable[[], None], config_name: str, no_sweep: str) -> None:
    """Run Hydra; whatever it raises outside the task is a mistake in the command, the configs or the folders."""
    try:
        refuse_secrets(sys.argv[1:])
        if no_sweep and not {"-m", "--multirun", "hydra.mode=MULTIRUN"}.isdisjoint(sys.argv):
            raise ConfigError(f"-m: {no_sweep}")
        run()
    except JobFailedError as failure:
        sys.exit(failure.code)
    except BrokenPipeError:
        raise  # no mistake, see `unread_ends_it`
    except KeyboardInterrupt:
        sys.stderr.write("interrupted before the run began; start it again with the same command\n")
        sys.exit(130)
    except (HydraException, OmegaConfBaseException, LongrangeError, OSError, ValueError, yaml.YAMLError) as error:
        _write_error(diagnose.composition_error(error, CONFIG_DIR, config_name, sys.argv[1:], not no_sweep))
        sys.exit(_EXIT_MISTAKE)
    except Exception as error:
        if not sweep.has_begun():
            if (line := diagnose.launcher_refusal(error)) is None:
                raise
            _write_error(line)
            sys.exit(_EXIT_MISTAKE)
        first_line = str(error).partition("\n")[0]
        _write_error(f"the sweep has stopped; its launcher says {type(error).__name__}: {first_line}")
        sys.exit(1)
    finally:
        sweep.report()


def _how_to_go_on(cfg: DictConfig) -> str:
    folders = [Path(OmegaConf.select(cfg, "paths.run_dir", default="."), stage) for stage in ("", "pretrain")]
    if not any((folder / "checkpoints" / "last.ckpt").exists() for folder in folders):
        return "there is no checkpoint to go on from, start it again with the same command"
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        return "the sweep's command goes on from the last checkpoint with resume=auto"
    arguments = [argument for argument in sys.argv if not argument.startswith("resume=")]
    return f"go on from the last checkpoint with: python {shlex.join([*arguments, 'resume=auto'])}"


def _job(task: Task) -> Task:
    """The task as Hydra runs it: on a complete and resolved configuration, reporting its own failure."""

    @functools.wraps(task)
    def job(cfg: DictConfig) -> Any:
        if process_rank() > 0:
            logging.disable(logging.INFO)  # the first process says it
        try:
            return task(_complete(cfg))
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns an interrupt into sys.exit(1) after its own shutdown.
            if isinstance(stop, SystemExit) and not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            sys.stderr.write(f"interrupted; {_how_to_go_on(cfg)}\n")
            sys.exit(130)
        except StoppedError as stop:
            sys.stderr.write(f"{stop}; {_how_to_go_on(cfg)}\n")
            sys.exit(130 if stop.number == signal.SIGINT else EXIT_AGAIN)
        except Exception as error:
            if is_unread(error):
                _remove_unused()
                sys.exit()  # with the error for its context
            code, reason = _report(error)
            if code == _EXIT_MISTAKE:
                _remove_unused()
            if HydraConfig.get().mode is RunMode.MULTIRUN and _fails_alike(error):
                raise JobFailedError(code, reason) from None  # Hydra runs the other jobs first
            raise SystemExit(code) from None  # what the error was is said

    return job


def _remove_unused() -> None:
    """Leave nothing of a run that was refused, in a folder that its command has made."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if folder in _made:
        alone = HydraConfig.get().mode is RunMode.RUN  # other jobs of a sweep make folders beside it
        remove_unused(folder, _made[folder] if alone else folder)


def _fails_alike(error: Exception) -> bool:
    """Whether a sweep can go on: one process can, and several if they all know that this job has ended.

    Otherwise one would begin the next job while others wait in this one, and average gradients of different models.
    """
    return process_count() == 1 or isinstance(error, DivergedError)


def _complete(cfg: DictConfig) -> DictConfig:
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"{missing[0]} has no value: add {missing[0]}=... to the command")
    OmegaConf.resolve(cfg)
    return cfg


def _report(error: Exception) -> tuple[int, str]:
    """Write one line for a mistake, the traceback for a bug; return the exit code and what went wrong in one line."""
    overrides = HydraConfig.get().overrides.task
    line = diagnose.run_error(error, CONFIG_DIR, HydraConfig.get().job.config_name, overrides)
    prefix = f"process {process_rank()}: " if process_rank() > 0 else ""
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        prefix += f"job {HydraConfig.get().job.num} ({' '.join(overrides)}): "
    if line is None:
        if prefix:
            sys.stderr.write(f"{prefix}\n")
        traceback.print_exception(error)
        return 1, " ".join(f"{type(error).__name__}: {error}".split())
    _write_error(prefix + line)
    return _EXIT_MISTAKE, " ".join(line.split())


def _write_error(line: str) -> None:
    sys.stderr.write(f"error: {' '.join(line.split())}\n")


_register_resolvers()  # with the module, which the processes of launchers import before they look at a configuration
