"""Running a block of code with one version of the kernels."""

from collections.abc import Iterator
from contextlib import contextmanager

from longrange.kernels import backend


@contextmanager
def running(name: str) -> Iterator[None]:
    """Select a backend, and "auto" again afterwards."""
    backend.select(name)
    try:
        yield
    finally:
        backend.select("auto")
