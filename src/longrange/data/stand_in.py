"""Random examples in place of a task's data, to see that a setting runs where the data is not. They teach nothing."""

import numpy as np
import torch
from hydra.utils import get_class

from longrange.data.batch import Batch
from longrange.data.module import SequenceDataModule, Split
from longrange.models.spec import TaskSpec


class StandIn(SequenceDataModule):
    """Another task's shape, a few random examples of it, nothing read or written.

    Chosen by `data._target_=longrange.data.stand_in.StandIn +data.of=<the task's class>`; the task's options stay.

    Args:
        of: dotted path of the task's class.
        size: examples of each split.
        options: the task's own; they are checked as it checks them.
    """

    def __init__(self, of: str, size: int = 8, **options):
        task = get_class(of)(**options)
        loader = ("batch_size", "eval_batch_size", "num_workers", "seed", "bucket")
        super().__init__(**{name: getattr(task, name) for name in loader})
        self._spec, self.protocol, self.size = task.spec, task.protocol, size

    @property
    def spec(self) -> TaskSpec:
        """The task's shape."""
        return self._spec

    def split(self, name: Split) -> "RandomSplit":
        """Random examples, the same at every call."""
        return RandomSplit(self.spec, self.size, seed=("train", "val", "test").index(name))


class RandomSplit:
    """Random sequences of a task's shape and random targets.

    Args:
        spec: the task's shape.
        size: number of examples.
        seed: decides them.

    Attributes:
        targets: (size,) int64 classes or (size, output_size) float32 values.
        steps: longest sequence of each example, (size,) int64.
    """

    def __init__(self, spec: TaskSpec, size: int, seed: int):
        rng = np.random.default_rng(seed)
        rows = (2 if spec.paired else 1, size)
        if spec.kind == "tokens":
            self._inputs = rng.integers(spec.input_size, size=(*rows, spec.max_length))
        else:
            self._inputs = rng.standard_normal((*rows, spec.max_length, spec.input_size), dtype=np.float32)
        self._lengths = rng.integers(spec.max_length // 2, spec.max_length + 1, rows) if spec.variable_length else None
        if spec.loss == "cross_entropy":
            self.targets = rng.integers(spec.output_size, size=size)
        else:
            self.targets = rng.standard_normal((size, spec.output_size), dtype=np.float32)

    @property
    def steps(self) -> np.ndarray:
        """Longest sequence of each example."""
        return self._lengths.max(axis=0)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: list[int]) -> Batch:
        inputs = torch.from_numpy(self._inputs[:, indices]).flatten(0, 1)
        lengths = None if self._lengths is None else torch.from_numpy(self._lengths[:, indices]).flatten()
        return Batch(inputs, lengths, torch.from_numpy(self.targets[indices]))
