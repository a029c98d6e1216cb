"""What is wrong with a command line, in one line: found by holding each override against what configs/ offers.

Hydra says where composition failed; this module asks Hydra's own loader what would have been right.
"""

import errno
import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from longrange.errors import ConfigError, LongrangeError, nearest

_STORAGE_REFUSES = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}

_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|Unable to allocate")  # torch, CUDA, numpy

_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")  # as Python says it of a call

_LAUNCHER_PACKAGES = ("joblib", "submitit", "ray")

# Hydra's plugins by the launcher and the extra requirement that need them.
_LAUNCHERS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
}


def composition_error(
    error: Exception, config_dir: Path, config_name: str, arguments: Sequence[str], sweeps: bool = True
) -> str:
    """The line for an error that Hydra raised outside the task.

    Args:
        error: what Hydra raised.
        config_dir: folder of the configs.
        config_name: the script's primary config.
        arguments: the command line without the script's name.
        sweeps: whether the script takes -m.
    """
    mistake = _find_cause(error, LongrangeError)
    if mistake is not None:
        return str(mistake)
    refused = None if isinstance(error, HydraException) else _find_cause(error, OSError)
    if refused is not None:
        return f"cannot write to {refused.filename}: {refused.strerror}; choose another folder with paths.outputs=..."
    if isinstance(error, MissingConfigException) and (launcher := _LAUNCHERS.get(error.missing_cfg_file or "")):
        return f"launcher={launcher}: not installed; pip install 'longrange[{launcher}]'"
    parsed, _ = get_args_parser().parse_known_args(list(arguments))
    several = "" if parsed.multirun else "-m runs a job for each, " if sweeps else "give one; "
    with _hydra(config_dir):
        found = next(_mistakes(parsed.overrides, parsed.config_name or config_name, config_dir, several), None)
    where = [text for text in parsed.overrides if "${" in text] if isinstance(error, InterpolationKeyError) else []
    return found or ": ".join([*where, _in_hydras_words(error)])


def run_error(error: Exception, config_dir: Path, config_name: str, overrides: Sequence[str]) -> str | None:
    """The line for an error that a task raised; None where it is a bug.

    Args:
        error: what the task raised.
        config_dir: folder of the configs.
        config_name: the script's primary config.
        overrides: the job's own overrides.
    """
    mistake = _find_cause(error, LongrangeError)
    if mistake is not None:
        return str(mistake)
    if isinstance(error, OmegaConfBaseException):
        return _in_hydras_words(error)
    if machine := _trouble_of_the_machine(error):
        return machine
    if type(error).__name__ == "MisconfigurationException":  # Lightning's, which is slow to import
        return f"trainer: {' '.join(str(error).split())}"
    cause = error.__cause__ if isinstance(error, InstantiationException) else error
    if isinstance(cause, TypeError | ValueError):
        with _hydra(config_dir):
            mistyped = _mistyped(overrides, config_name) or _untaken(overrides, cause)
        if mistyped:
            return f"{mistyped} ({cause})"
    refused = _refused_arguments(cause) or str(error).startswith("Error locating target")
    return _in_hydras_words(error) if refused else None


def launcher_refusal(error: Exception) -> str | None:
    """The line for an error with which a launcher refuses to begin; None where it is none of theirs."""
    package = _package_of(error)
    return f"launcher: {package} says {error}" if package in _LAUNCHER_PACKAGES else None


def _trouble_of_the_machine(error: Exception) -> str | None:
    if isinstance(error, OSError) and error.errno in _STORAGE_REFUSES:
        reason = "a file is there, not a folder" if error.errno == errno.EEXIST else error.strerror
        return f"cannot write to {error.filename or 'the disk'}: {reason}"
    if isinstance(error, RuntimeError) and "Connection closed by peer" in str(error):
        return "another process of this training has ended, and says why itself"
    if isinstance(error, MemoryError | RuntimeError | InstantiationException) and _NO_MEMORY.search(str(error)):
        asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
        how_much = f" ({asked[1]} asked for at once)" if asked else ""
        parts = "accumulate=<parts>, which computes a batch in so many parts"
        return f"not enough memory{how_much}: take a smaller data.batch_size or model, or {parts}"
    return None


def group_options(config_dir: Path, group: str) -> list[str]:
    """All options of a config group, those in subfolders included, e.g. "listops/s5" of "experiment"."""
    folder = config_dir / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


@contextmanager
def _hydra(config_dir: Path) -> Iterator[None]:
    """Hydra's loader on the configs: the running one inside a job, else one for the time being."""
    if GlobalHydra.instance().is_initialized():
        yield
    else:
        with initialize_config_dir(str(config_dir), version_base="1.3"):
            yield


def _find_cause(error: BaseException | None, kind: type[Exception]) -> BaseException | None:
    """The error, or one that it was raised from; one that was merely being handled when a bug showed up is no cause."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__
    return error


def _refused_arguments(error: BaseException | None) -> bool:
    """Whether a call that Hydra made failed before any line of the target ran: the config's fault, not the code's."""
    return isinstance(error, TypeError) and _package_of(error) == "hydra"


def _package_of(error: Exception) -> str:
    """The package of the line that raised it."""
    innermost, _ = list(traceback.walk_tb(error.__traceback__))[-1]
    return innermost.f_globals["__name__"].partition(".")[0]


def _in_hydras_words(error: Exception) -> str:
    first, *others = [line.strip() for line in str(error).splitlines() if line.strip()]
    where = [line.removeprefix("full_key: ") for line in others if line.startswith("full_key: ")]
    cause = error.__cause__
    why = [str(cause).splitlines()[0]] if isinstance(cause, OmegaConfBaseException | TypeError) else []
    return ": ".join([*where, first.split(", set env var")[0].rstrip(":"), *why])


def _mistakes(overrides: Sequence[str], config_name: str, config_dir: Path, several: str) -> Iterator[str]:
    """Every mistake found in the overrides, the first one first; `several` as for `_unusable_values`."""
    parsed = []
    for text in overrides:
        try:
            parsed += OverridesParser.create().parse_overrides([text])
        except OverrideParseException:
            yield _unreadable(text, config_dir)
    for override in parsed:
        yield from _unusable_values(override, several)
    groups = [override for override in parsed if _is_group(override)]
    for override in groups:
        yield from _unknown_options(override, config_dir)
    try:
        known = _all_keys(OmegaConf.to_container(_without_values(groups, config_name)))
    except (HydraException, OmegaConfBaseException):
        return  # the fault lies in the files: Hydra names it
    for override in parsed:
        if override not in groups:
            yield from _wrong_key(override, known, config_dir)
    if any(group.is_sweep_override() for group in groups):
        yield from _too_early_keys(parsed, groups, config_name)


def _too_early_keys(overrides: Sequence[Override], groups: Sequence[Override], config_name: str) -> Iterator[str]:
    """Keys that the options of a swept group bring: Hydra composes once without these before the jobs."""
    swept = next(group for group in groups if group.is_sweep_override())
    fixed = [group for group in groups if not group.is_sweep_override()]
    known = _all_keys(OmegaConf.to_container(_without_values(fixed, config_name)))
    for override in overrides:
        key, text = override.key_or_group, override.input_line
        if override not in groups and not _may_add(override) and key not in known:
            yield f"{key}: unknown before {swept.key_or_group} is chosen, where a sweep begins; write ++{text}"


def _unusable_values(override: Override, several: str) -> Iterator[str]:
    """`several` says what to do with several values of a key, "" where they are jobs."""
    if override.is_sweep_override() and several:
        listed = f"{override.get_key_element()}=[{override.get_value_string()}]"
        yield f"{override.input_line} names several values: {several}{listed} is a list"
    if override.value() == "???":
        yield f"{override.input_line}: needs a value"


def _unreadable(text: str, config_dir: Path) -> str:
    if "=" in text:
        return f"{text!r}: cannot be read as key=value; put a value with spaces or special characters in quotes"
    homes = [group.name for group in sorted(config_dir.iterdir()) if text in group_options(config_dir, group.name)]
    meant = f"; did you mean {homes[0]}={text}?" if homes else ""
    return f"{text!r}: not of the form key=value{meant}"


def _is_group(override: Override) -> bool:
    return GlobalHydra.instance().config_loader().repository.group_exists(override.key_or_group)


def _may_add(override: Override) -> bool:
    """Whether it is written with + or ++."""
    return override.is_add() or override.is_force_add()


def _values(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    value = override.value()
    return value if isinstance(value, list) else [value]


def _unknown_options(override: Override, config_dir: Path) -> Iterator[str]:
    group = override.key_or_group
    if override.is_delete():
        return
    options = group_options(config_dir, group) or GlobalHydra.instance().config_loader().get_group_options(group)
    for value in _values(override):
        if value is None:
            yield f"{group}=null: choose one of {', '.join(options)}, or [] for none"
        elif str(value) not in options:
            yield f"{group}={value}: no such {group}; nearest: {', '.join(nearest(str(value), options))}"


def _without_values(groups: Sequence[Override], config_name: str) -> DictConfig:
    """The configuration with the chosen groups (the first of several) and all values as the files set them."""
    choices = []
    for group in groups:
        choice = group.input_line
        if group.is_sweep_override() and group.is_discrete_sweep():
            choice = f"{group.get_key_element()}={next(group.sweep_string_iterator())}"
        choices.append(choice)
    return compose(config_name, choices, return_hydra_config=True)


def _all_keys(node: Any, prefix: str = "") -> set[str]:
    """Dotted names of every node of a configuration in plain dictionaries."""
    if not isinstance(node, dict):
        return set()
    own = {f"{prefix}{key}" for key in node}
    return own.union(*(_all_keys(child, f"{prefix}{key}.") for key, child in node.items()))


def _wrong_key(override: Override, known: set[str], config_dir: Path) -> Iterator[str]:
    key = override.key_or_group
    if override.is_add() and key in known:
        yield f"+{key}: this key exists already, leave the + out"
    if not _may_add(override) and key not in known:
        yield f"{key}: no such key; nearest: {', '.join(_nearest_keys(key, known, config_dir))}"


def _nearest_keys(key: str, known: set[str], config_dir: Path) -> list[str]:
    """The same leaf elsewhere first, then the spelling of its siblings, then any key or group."""
    parent, _, leaf = key.rpartition(".")
    groups = {path.name for path in config_dir.iterdir() if path.is_dir()}
    own = {name for name in known | groups if name.startswith("hydra") == key.startswith("hydra")}
    same_leaf = {name for name in own if name.rpartition(".")[2] == leaf}
    siblings = {name for name in own if name.rpartition(".")[0] == parent}
    return nearest(key, same_leaf or siblings or own)


def _mistyped(overrides: Sequence[str], config_name: str) -> str | None:
    """The first value that its object does not take; of a key of no object, one of another kind than the default."""
    from longrange.training.values import check_values, known_keys  # slow to import

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    groups = [override for override in parsed if _is_group(override)]
    defaults = _without_values(groups, config_name)
    try:
        check_values(compose(config_name, overrides=list(overrides)), {override.key_or_group for override in parsed})
    except ConfigError as mistake:
        return str(mistake)
    known = known_keys(defaults)
    for override in parsed:
        fixed = override in groups or override.is_add() or override.key_or_group in known
        default = None if fixed else OmegaConf.select(defaults, override.key_or_group)
        if default is not None and not _same_kind(override.value(), default):
            return f"{override.input_line}: cannot take this kind of value (default: {default})"
    return None


def _untaken(overrides: Sequence[str], cause: Exception) -> str | None:
    """The key that a command line adds although its object takes no such argument."""
    unexpected = _UNEXPECTED.search(str(cause))
    if unexpected is None:
        return None
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        parent, _, leaf = override.key_or_group.rpartition(".")
        if _may_add(override) and leaf == unexpected[1]:
            return f"{override.input_line}: {parent} takes no {leaf}"
    return None


def _same_kind(value: Any, default: Any) -> bool:
    if OmegaConf.is_config(default):
        return isinstance(value, dict | list)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
