"""What a model must know about a task: the only thing that passes from data modules to models."""

from dataclasses import dataclass
from typing import Literal, get_args

from longrange.errors import ConfigError

Kind = Literal["tokens", "continuous"]
Loss = Literal["cross_entropy", "mse"]


@dataclass(frozen=True)
class TaskSpec:
    """The shape of a task.

    Attributes:
        name: the task's name, as in configs/data.
        kind: "tokens" (inputs are (B, L) int64 ids) or "continuous" (inputs are (B, L, C) float).
        input_size: number of token ids, or of channels C.
        output_size: number of classes, or of regression targets.
        max_length: longest sequence, in steps.
        variable_length: batches carry lengths; otherwise every sequence fills max_length.
        loss: "cross_entropy" (targets (B,) int64) or "mse" (targets (B, output_size) float).
        paired: two sequences per target; inputs hold 2B rows, all first sequences, then all second ones.
    Raises:
        ConfigError: an unknown kind or loss, or a size below 1.
    """

    name: str
    kind: Kind
    input_size: int
    output_size: int
    max_length: int
    variable_length: bool = False
    loss: Loss = "cross_entropy"
    paired: bool = False

    def __post_init__(self) -> None:
        for field, options in (("kind", get_args(Kind)), ("loss", get_args(Loss))):
            if getattr(self, field) not in options:
                raise ConfigError(f"task {self.name}: {field}={getattr(self, field)}: must be {' or '.join(options)}")
        for field in ("input_size", "output_size", "max_length"):
            if getattr(self, field) < 1:
                raise ConfigError(f"task {self.name}: {field}={getattr(self, field)}: must be at least 1")
