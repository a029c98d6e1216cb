"""Where the time of a step goes: a lap timer, so that the laps add up to the whole by construction."""

from collections import Counter
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from longrange.benchmarks.profile_watch import REST, Call, Direction, FollowingWatch

Lap = tuple[str, Direction]


class TimedWatch(FollowingWatch):
    """Takes the time whenever another part begins or goes on; on a GPU the time at which its stream gets there.

    What autograd does between two nodes, such as adding gradients that meet, counts to the node before.

    Args:
        device: of the model.
    """

    def __init__(self, device: torch.device):
        super().__init__()
        self._device = device
        self._laps: list[tuple[Lap | None, Any]] = []

    def begin(self) -> None:
        """Start the clock."""
        self._lap((REST, "forward"))

    def end(self) -> None:
        """Stop the clock."""
        self._lap(None)

    def seconds(self) -> Counter[Lap]:
        """Seconds of each part, forward and backward."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        total: Counter[Lap] = Counter()
        for (lap, begin), (_, end) in zip(self._laps, self._laps[1:], strict=False):
            if lap is not None:
                total[lap] += _between(begin, end)
        return total

    def began(self, call: Call, inputs: Any) -> None:
        """See `FollowingWatch.began`."""
        self._lap((call.part, "forward"))

    def ended(self, call: Call, outputs: Any) -> None:
        """See `FollowingWatch.ended`."""
        self._lap((self.open[-1].part, "forward"))

    def follow(self, loss: Tensor) -> None:
        """See `FollowingWatch.follow`; the clock stands still meanwhile."""
        self._lap(None)
        super().follow(loss)
        self._lap((self.open[-1].part, "forward"))

    def attach(self, node: Node, call: Call) -> None:
        """See `FollowingWatch.attach`."""
        lap: Lap = (call.part, "backward")
        node.register_prehook(lambda gradients: self._lap(lap))

    def _lap(self, lap: Lap | None) -> None:
        if self._device.type == "cuda":
            stamp: Any = torch.cuda.Event(enable_timing=True)
            stamp.record()
        else:
            stamp = perf_counter()
        self._laps.append((lap, stamp))


def _between(begin: Any, end: Any) -> float:
    return end - begin if isinstance(begin, float) else begin.elapsed_time(end) / 1e3
