"""Keeps Lightning's hints to programmers away from users, and its real warnings visible."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Messages about choices that this program makes on purpose.
HINTS = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*LeafSpec.*",
    ".*Grad strides do not match bucket view strides.*",
    ".*ended before the epoch ended and your dataloader is not resumable.*",  # see `TrainingBatches`
    ".*`srun` command is available on your system but is not used.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, Lightning logs warnings only, and none of `HINTS`."""
    loggers = [
        logging.getLogger(name)
        for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in HINTS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
