"""Commands in processes of their own: what they print is kept, and they end in their own time."""

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer


def watched(
    command: list[str],
    file: Path,
    environment: Mapping[str, str],
    show: Callable[[str], None],
    limit_s: float | None = None,
    grace_s: float = 0.0,
) -> tuple[int | None, list[str]]:
    """Run a command, each line it prints into a file and to `show`.

    The command has a session of its own, so that Ctrl-C reaches it once, from here, and it ends in its own time.

    Args:
        command: program and arguments.
        file: what its output is appended to.
        environment: its environment variables.
        show: called with every line that is not blank.
        limit_s: seconds after which it is killed, with all it has started; None for no limit.
        grace_s: so many seconds earlier it is asked to end, by SIGTERM.
    Returns:
        Its exit code, None after an interrupt, minus the number of the signal that ended it; and its lines.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with file.open("a") as log_file, _termination_interrupts():
        log_file.write(f"$ {shlex.join(command)}\n")
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**environment, "PYTHONUNBUFFERED": "1"},
        )
        try:
            with _limited(process, limit_s, grace_s):
                for line in process.stdout:
                    log_file.write(line)
                    log_file.flush()
                    lines.append(line)
                    if line.strip():
                        show(line)
                return process.wait(), lines
        except KeyboardInterrupt:
            log_file.write(_ended(process))
            return None, lines


def reason(code: int, lines: Sequence[str]) -> str:
    """Why a command failed: the last line that names an error, or the last one there is."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    said = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return (errors or said or [f"exit code {code}"])[-1]


@contextmanager
def _limited(process: subprocess.Popen, limit_s: float | None, grace_s: float) -> Iterator[None]:
    """Ends a process that is still there when its time is up."""
    if limit_s is None:
        yield
        return
    timers = [Timer(max(limit_s - grace_s, 0), process.terminate), Timer(limit_s, _kill, [process])]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _kill(process: subprocess.Popen) -> None:
    """Those too that it has started: they keep its output open."""
    os.killpg(process.pid, signal.SIGKILL)


def _ended(process: subprocess.Popen) -> str:
    """Interrupt a process and wait until it has saved what it wants to; kill it at a second interrupt."""
    try:
        process.send_signal(signal.SIGINT)
        return _rest(process)
    except KeyboardInterrupt:
        _kill(process)
        return _rest(process)


def _rest(process: subprocess.Popen) -> str:
    printed = process.stdout.read()
    process.wait()
    return printed


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Treat SIGTERM, as batch systems send it, like Ctrl-C.

    Ctrl-C's own signal too: what a script starts in the background ignores it, and so would the commands from here.
    """
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
