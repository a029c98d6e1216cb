"""Keeps the libraries' hints to programmers away from users, and their real warnings visible."""

import logging
import warnings
from collections.abc import Iterator, Mapping
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
    ".*No complete tensor found in the group.*",  # torch.export.save, of parts of one tensor that the step reads
    ".*The given buffer is not writable.*",  # torch.export.load of torch 2.11
    ".*The axis name: .* will not be used, since it shares the same shape constraints.*",
)
_WARNINGS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric", "onnx_ir", "onnxscript")
LOGGERS = {
    **dict.fromkeys(_WARNINGS, logging.WARNING),
    "torch.onnx._internal.exporter._registration": logging.ERROR,  # it warns of every package that is not installed
}


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, `LOGGERS` say no less than their level, and none of `HINTS` is shown."""
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    _set(LOGGERS)
    try:
        with warnings.catch_warnings():
            for message in HINTS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        _set(before)


def _set(levels: Mapping[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
