"""The one place between Hydra and the scripts: composing, running, and one line for each mistake a user can mend.

A script is a function of a composed configuration under `@main("<config>")`. What is slow to import (torch, Lightning,
datasets) it imports inside that function, so that `--help` and mistyped commands answer at once.

Exit codes: 0 done, 1 a bug (with its traceback), 2 a mistake that the printed line explains, 130 interrupted.
"""

import functools
import itertools
import os
import re
import shlex
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
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from longrange import diagnose
from longrange.errors import CheckpointError, ConfigError, LongrangeError
from longrange.results import sweep
from longrange.results.run_folder import run_folder

CONFIG_DIR = Path(__file__).resolve().parents[2] / "configs"

Task = Callable[[DictConfig], Any]


class JobFailedError(Exception):
    """A sweep's job that failed; its message is printed already.

    Args:
        code: exit code.
        reason: of the failure, one line.
    """

    def __init__(self, code: int, reason: str):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


def main(config_name: str, *, open_keys: bool = False) -> Callable[[Task], Callable[[], None]]:
    """Make a script's entry point out of a function of its configuration.

    Args:
        config_name: file in configs/ without its suffix.
        open_keys: the command line may set keys that this configuration lacks; the task checks them.
    Returns:
        A decorator; the decorated function takes no arguments and reads the command line.
    """

    def decorate(task: Task) -> Callable[[], None]:
        @functools.wraps(task)
        def command() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would print; the wording is done here
            if open_keys:
                sys.argv[1:] = [re.sub(r"^(?=\w+\.[\w.]+=)", "++", argument) for argument in sys.argv[1:]]
            register_resolvers()
            run = hydra.main(config_path=str(CONFIG_DIR), config_name=config_name, version_base="1.3")(_job(task))
            _exit_with_one_line(run, config_name)

        return command

    return decorate


def compose(config_name: str, overrides: Sequence[str] = (), run_dir: str | Path = ".") -> DictConfig:
    """The resolved configuration that a script would get, without a command line: for notebooks, tests and searches.

    Args:
        config_name: file in configs/ without its suffix.
        overrides: what would stand on the command line.
        run_dir: what `paths.run_dir` becomes.
    Returns:
        The configuration without Hydra's own part.
    """
    register_resolvers()
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


def register_resolvers() -> None:
    """The interpolations that configs/ uses beside Hydra's own."""
    # Hydra and Lightning ask for the run's folder again after it exists; within a process the answer must not change.
    OmegaConf.register_new_resolver("run_folder", functools.cache(_run_folder), replace=True)
    OmegaConf.register_new_resolver("config_groups", _config_groups, replace=True)


def _run_folder(outputs: str, task: str, layer: str, seed: Any, ckpt: str | None, overrides: Sequence[str]) -> str:
    folder = functools.partial(run_folder, Path(outputs), task, layer, seed, list(overrides))
    try:
        return str(folder(latest=ckpt == "last").absolute())
    except CheckpointError:
        if HydraConfig.get().mode is not RunMode.MULTIRUN:
            raise
        return str(folder(latest=False).absolute())  # the training of this job reports it, and the sweep goes on


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


def _by_folder(options: Sequence[str]) -> list[str]:
    """Options with those of one folder in one word: folder/{a,b}."""
    words = []
    for folder, members in itertools.groupby(options, key=lambda option: option.rpartition("/")[0]):
        names = [option.rpartition("/")[2] for option in members]
        words += [f"{folder}/{{{','.join(names)}}}"] if folder else names
    return words


def _exit_with_one_line(run: Callable[[], None], config_name: str) -> None:
    """Run Hydra; whatever it raises outside the task is a mistake in the command, the configs or the folders."""
    try:
        run()
    except JobFailedError as failure:
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted before the run began; start it again with the same command\n")
        sys.exit(130)
    except (HydraException, OmegaConfBaseException, LongrangeError, OSError, ValueError, yaml.YAMLError) as error:
        _write_error(diagnose.composition_error(error, CONFIG_DIR, config_name, sys.argv[1:]))
        sys.exit(2)
    except Exception as error:
        if not sweep.has_begun():
            raise
        first_line = str(error).partition("\n")[0]
        _write_error(f"the sweep has stopped; its launcher says {type(error).__name__}: {first_line}")
        sys.exit(1)
    finally:
        sweep.report()


def _how_to_go_on(cfg: DictConfig) -> str:
    folders = [Path(OmegaConf.select(cfg, "paths.run_dir", default="."), stage) for stage in ("", "pretrain")]
    if not any((folder / "checkpoints" / "last.ckpt").exists() for folder in folders):
        return "there is no checkpoint to go on from, start it again with the same command"
    arguments = [argument for argument in sys.argv if not argument.startswith("ckpt=")]
    return f"go on from the last checkpoint with: python {shlex.join([*arguments, 'ckpt=last'])}"


def _job(task: Task) -> Task:
    """The task as Hydra runs it: on a complete and resolved configuration, reporting its own failure."""

    @functools.wraps(task)
    def job(cfg: DictConfig) -> Any:
        try:
            return task(_complete(cfg))
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning turns an interrupt into sys.exit(1) after its own shutdown.
            if isinstance(stop, SystemExit) and not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            sys.stderr.write(f"interrupted; {_how_to_go_on(cfg)}\n")
            sys.exit(130)
        except Exception as error:
            code, reason = _report(error)
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                raise JobFailedError(code, reason) from None  # Hydra runs the other jobs first
            sys.exit(code)

    return job


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
    prefix = ""
    if HydraConfig.get().mode is RunMode.MULTIRUN:
        prefix = f"job {HydraConfig.get().job.num} ({' '.join(overrides)}): "
    if line is None:
        if prefix:
            sys.stderr.write(f"{prefix}\n")
        traceback.print_exception(error)
        return 1, " ".join(f"{type(error).__name__}: {error}".split())
    _write_error(prefix + line)
    return 2, " ".join(line.split())


def _write_error(line: str) -> None:
    sys.stderr.write(f"error: {' '.join(line.split())}\n")
