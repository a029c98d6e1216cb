"""Keeps keys and passwords off the command line, since the record of a run keeps the command line."""

import os
import re
from collections.abc import Iterator, Sequence

from longrange.errors import ConfigError

_SECRET = re.compile(r"((api|access|private|secret)_?key|(^|_)(auth_?)?token|passw(or)?d|secret|credentials?)$", re.I)
_LOOKED_UP = re.compile(r"oc\.env:\s*(\w+)")
_SHORTEST = 12  # characters of a value that is looked for: shorter ones may be words of any command


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse a command line that would carry a secret into configuration, log, record and checkpoints.

    Args:
        arguments: overrides, as typed.
    Raises:
        ConfigError: a key is named like a secret, or a value is one of the environment's; it names the key alone.
    """
    for argument in arguments:
        key, equals, value = argument.partition("=")
        why = next(_reasons(key.lstrip("+~"), value), None) if equals else None
        if why:
            raise ConfigError(
                f"{key}=...: {why}, and a run's record keeps its command; leave it out, programs find secrets in the "
                "environment (WANDB_API_KEY) or where `wandb login` puts them"
            )


def _reasons(key: str, value: str) -> Iterator[str]:
    if _SECRET.search(re.split(r"[.@]", key)[-1]):
        yield "this is a secret"
    for name in _LOOKED_UP.findall(value):
        if _SECRET.search(name):
            yield f"its value is that of {name}, a secret"
    for name, content in os.environ.items():
        if _SECRET.search(name) and len(content) >= _SHORTEST and content in value:
            yield f"its value holds that of {name}, a secret"
