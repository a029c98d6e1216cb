"""A worker as its parent sees it: a process that answers each line, or has died and left a reason."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from longrange.errors import ConfigError


@dataclass(frozen=True)
class Worker:
    """A process that runs a training step each time it is asked to; see `alone.protocol`.

    Attributes:
        name: for messages.
        remedy: what to do when it fails.
        process: with pipes for its standard input and output, as text.
        errors: the file that its standard error goes to.
    """

    name: str
    remedy: str
    process: subprocess.Popen
    errors: IO[str]

    def ask(self, line: dict[str, Any]) -> dict[str, Any]:
        """Its answer to a line.

        Raises:
            ConfigError: it has ended instead.
        """
        with suppress(BrokenPipeError):  # then the answer does not come either
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise ConfigError(f"{self.name} has stopped: {self._reason()}; {self.remedy}")
        return json.loads(answer)

    def _reason(self) -> str:
        """The exception that it ended with, or what else is known."""
        code = self.process.wait()
        if code < 0:
            return f"killed by signal {-code}, perhaps for want of memory"
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
        return [f"exit code {code}", *lines[-1:], *raised[-1:]][-1]


@contextmanager
def worker(name: str, command: Sequence[str], environment: Mapping[str, str], remedy: str) -> Iterator[Worker]:
    """A process that is killed at the end of the block, however that comes.

    Args:
        name: see `Worker`.
        command: the program and its arguments.
        environment: its variables.
        remedy: see `Worker`.
    Raises:
        ConfigError: the program cannot be started.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(command, env=dict(environment), stderr=errors, text=True, **pipes)
        except OSError as error:
            raise ConfigError(f"{name}: {command[0]} cannot be run ({error.strerror}); {remedy}") from error
        try:
            yield Worker(name, remedy, process, errors)
        finally:
            process.kill()
            process.communicate()
