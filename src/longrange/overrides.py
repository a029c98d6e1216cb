"""Overrides of a command line, and which keys of a configuration leave a training's result as it is.

A set of keys names each by its dotted path and means all that lies below it too. One set grows out of the other.
"""

from collections.abc import Collection, Iterable

# Where a training writes and what it logs, when it saves, what it goes on from, and what starts it.
BOOKKEEPING = frozenset({"paths", "logger", "callbacks", "save_every_s", "resume", "launcher"})
# How data comes to it and what watches it: no hyperparameters either.
NO_HYPERPARAMETERS = BOOKKEEPING | {
    "expected",
    *(f"data.{key}" for key in ("data_dir", "cache_dir", "download", "num_workers", "eval_batch_size")),
    *(f"trainer.{key}" for key in ("default_root_dir", "num_sanity_val_steps", "log_every_n_steps")),
    *(f"trainer.{key}" for key in ("enable_progress_bar", "enable_model_summary")),
}
# What computes it, and what a table has columns of its own for: the published setting is the same. `accumulate` is not
# of these: batch norm has statistics of each part.
SAME_SETTING = NO_HYPERPARAMETERS | {
    *("backend", "graphs", "model.recompute", "hydra"),
    *(f"trainer.{key}" for key in ("accelerator", "devices", "num_nodes", "strategy")),
    *("experiment", "seed", "data.protocol", "name.budget"),
}


def key_of(override: str) -> str:
    """The dotted path that an override sets, adds or deletes: "+data.of=x" gives "data.of", "db@copy=x" gives "db"."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def is_within(key: str, keys: Collection[str]) -> bool:
    """Whether a key, or an option of a group such as hydra/launcher, is one of those or lies below one."""
    path = key.replace("/", ".")
    return path in keys or any(path.startswith(f"{above}.") for above in keys)


def without(overrides: Iterable[str], keys: Collection[str]) -> list[str]:
    """The overrides but those of some keys and of what lies below them."""
    return [override for override in overrides if not is_within(key_of(override), keys)]


def setting_changes(overrides: Iterable[str]) -> list[str]:
    """The overrides that change what is trained or how, as opposed to where, how watched and on what."""
    return [override for override in overrides if not _same_setting(override)]


def _same_setting(override: str) -> bool:
    key, value = key_of(override), override.partition("=")[2]
    if key in ("trainer", "pretrain"):  # another device, or another row of a table; single keys in them count
        return value != "debug"  # of the trainers the one that leaves out data
    return is_within(key, SAME_SETTING)
