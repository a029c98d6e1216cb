"""Prepare a task's data and show what there is; `python scripts/prepare_data.py --help` says how."""

import sys

from omegaconf import DictConfig

from longrange.cli import main

SHORT_FORMS = {"--status": "status=true", "data=all": "all=true"}


@main("prepare_data")
def prepare_data(cfg: DictConfig) -> None:
    """Prepare the data of the chosen task or of all, or show what there is of each."""
    from pathlib import Path

    preview = Path(cfg.paths.data, "preview") if cfg.preview else None
    if cfg.status or cfg.all:
        show_or_prepare_all(cfg.status, preview)
    else:
        from hydra.utils import instantiate

        from longrange.data.prepare import prepare

        prepare(instantiate(cfg.data), preview)


def show_or_prepare_all(only_show: bool, preview) -> None:
    """Every task in turn; exit code 1 where one could not be prepared."""
    tasks = every_task()
    from longrange.data.prepare import prepare_all
    from longrange.data.status import print_failures, print_status

    if only_show:
        print_status(tasks)
    elif failures := prepare_all(tasks, preview):
        print_failures(failures, len(tasks) - len(failures))
        sys.exit(1)


def every_task():
    """By name: each task of configs/data that can be got, or the error that its configuration gives."""
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    from longrange.cli import CONFIG_DIR
    from longrange.diagnose import group_options
    from longrange.errors import ConfigError, LongrangeError

    overrides = list(HydraConfig.get().overrides.task)
    if single := [override for override in overrides if override.lstrip("+~").startswith("data.")]:
        raise ConfigError(f"{single[0]}: is a value of one task; leave it out where all tasks are meant")
    shared = [override for override in overrides if not override.startswith("data=")]
    tasks = {}
    for name in sorted({*group_options(CONFIG_DIR, "data")} - {"own"}):  # there is no getting your own sequences
        try:
            tasks[name] = instantiate(compose("prepare_data", [*shared, f"data={name}"]).data)
        except InstantiationException as error:
            cause = error.__cause__
            tasks[name] = (
                cause if isinstance(cause, LongrangeError) else ConfigError(f"configs/data/{name}.yaml: {error}")
            )
    return tasks


if __name__ == "__main__":
    sys.argv[1:] = [SHORT_FORMS.get(argument, argument) for argument in sys.argv[1:]]
    prepare_data()
