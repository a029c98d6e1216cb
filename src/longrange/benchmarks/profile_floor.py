"""The least that each part of a step has to do: the matrix products it makes, and the bytes it cannot avoid to move.

Bytes: a call reads its inputs once and writes its outputs once. Between a call and the calls inside it, a tensor that
is only handed on costs nothing: an outer call reads what it does not hand on and writes what it makes itself. The
backward pass reads the gradients that arrive and writes those that leave, and reads what was kept for it, or as much as
the forward pass had read where that is less, since it can be made again. What passes through untouched is not moved,
and what is handed from node to node within a call need not be stored. Tensors are told apart by their memory.

Operations: those of matrix products and convolutions as torch's counter counts them, two for a product and its sum,
four times as many for complex numbers, and of the products that kernels make themselves. The arithmetic of transforms,
scans, sums over poles and pointwise work is not in a floor: these are bounded by their bytes alone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from longrange.benchmarks.profile_watch import Call, Direction, FollowingWatch
from longrange.kernels.operations import told_products

Part = tuple[str, Direction]
Products = Counter[torch.dtype]  # type of the factors -> operations


@dataclass(frozen=True)
class Limits:
    """What a machine can do at most.

    Attributes:
        matrix: operations of matrix products a second, by type; another type counts as float32.
        bandwidth: bytes a second.
    """

    matrix: Mapping[torch.dtype, float]
    bandwidth: float

    def matrix_seconds(self, products: Products) -> float:
        """Least time of matrix products."""
        return sum(n / self.matrix.get(dtype, self.matrix[torch.float32]) for dtype, n in products.items())


@dataclass
class Work:
    """What one part of a step has to do, in one direction, over all its calls.

    Attributes:
        operations: of matrix products.
        bytes: that are moved at least.
        seconds: of that, the sum over the calls of what bounds each.
        matrix_seconds: of the operations alone.
        memory_seconds: of the bytes alone.
    """

    operations: int = 0
    bytes: int = 0
    seconds: float = 0.0
    matrix_seconds: float = 0.0
    memory_seconds: float = 0.0

    def add(self, products: Products, moved: int, limits: Limits) -> None:
        """Let in a call."""
        matrix, memory = limits.matrix_seconds(products), moved / limits.bandwidth
        self.operations += products.total()
        self.bytes += moved
        self.seconds += max(matrix, memory)
        self.matrix_seconds += matrix
        self.memory_seconds += memory


class Memory:
    """A set of tensors by the memory they lie in, which is remembered without being kept.

    Args:
        tensors: the first to be in it.
    """

    def __init__(self, tensors: Iterable[Tensor] = ()):
        self._views: dict[StorageWeakRef, tuple[int, dict[tuple, int]]] = {}
        self.add(tensors)

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Let in tensors."""
        for tensor in tensors:
            _, views = self._views.setdefault(_where(tensor), (tensor.untyped_storage().nbytes(), {}))
            views[tensor.storage_offset(), tensor.shape] = tensor.numel() * tensor.element_size()

    def __contains__(self, tensor: Tensor) -> bool:
        return _where(tensor) in self._views

    def remove(self, tensors: Iterable[Tensor]) -> None:
        """Take out tensors, whatever else lies in their memory included."""
        for tensor in tensors:
            self._views.pop(_where(tensor), None)

    def without(self, *others: "Memory") -> "Memory":
        """Those whose memory is in none of the other sets."""
        return self._chosen(lambda place: not any(place in other._views for other in others))

    def __and__(self, other: "Memory") -> "Memory":
        return self._chosen(lambda place: place in other._views)

    def __or__(self, other: "Memory") -> "Memory":
        both = Memory()
        both._views = {**other._views, **self._views}
        return both

    def bytes(self) -> int:
        """Bytes of the tensors; of views of the same memory no more than it has."""
        return sum(min(whole, sum(views.values())) for whole, views in self._views.values())

    def _chosen(self, wanted: Callable[[StorageWeakRef], bool]) -> "Memory":
        chosen = Memory()
        chosen._views = {place: views for place, views in self._views.items() if wanted(place)}
        return chosen


class _Tally:
    """What one call has received, handed on, made and kept."""

    def __init__(self, inputs: list[Tensor]):
        self.inputs, self.received, self.handed_on, self.results = Memory(inputs), Memory(), Memory(), Memory()
        self.kept, self.gradients_in, self.gradients_out, self.within = Memory(), Memory(), Memory(), Memory()
        self.products: dict[Direction, Products] = {"forward": Counter(), "backward": Counter()}

    def hand_on(self, tensors: list[Tensor]) -> None:
        """Give tensors to a call inside."""
        self.handed_on.add(tensors)

    def receive(self, tensors: list[Tensor]) -> None:
        """Get tensors from a call inside, which may be some that it was given."""
        self.received.add(tensors)
        self.handed_on.remove(tensors)

    def moved(self) -> dict[Direction, int]:
        """Bytes at least, forward and backward."""
        written = (self.results | self.handed_on).without(self.inputs, self.received)
        read = self._read().bytes() if written.bytes() else 0
        gradients = self.gradients_in.bytes() + self.gradients_out.without(self.within).bytes()
        again = min(self.kept.bytes(), read) if gradients else 0
        return {"forward": read + written.bytes(), "backward": gradients + again}

    def _read(self) -> "Memory":
        own = self.inputs.without(self.handed_on, self.received)
        from_inside = self.received.without(self.handed_on, self.results)
        # What it hands on and keeps for its own backward pass, it has read too.
        return own | from_inside | (self.inputs & self.handed_on & self.kept)


class Ledger(FollowingWatch):
    """Counts what each call of a step has to do."""

    def __init__(self) -> None:
        super().__init__()
        self._tallies: dict[Call, _Tally] = {self.open[0]: _Tally([])}
        self._running: tuple[Call, Direction] = (self.open[0], "forward")

    def counting(self) -> "_Counting":
        """The context in which the step is to run."""
        return _Counting(self)

    def work(self, limits: Limits) -> dict[Part, Work]:
        """What each part has to do, and how long that takes at least."""
        total: dict[Part, Work] = {}
        for call, tally in list(self._tallies.items())[1:]:  # the first is the rest of the step
            for direction, moved in tally.moved().items():
                total.setdefault((call.part, direction), Work()).add(tally.products[direction], moved, limits)
        return total

    def count_products(self, operations: int, dtype: torch.dtype) -> None:
        """Count a matrix product of what is running."""
        call, direction = self._running
        self._tallies[call].products[direction][dtype] += operations

    def keep(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is kept for the backward pass; returns it."""
        self._tallies[self.open[-1]].kept.add([tensor])
        return tensor

    def began(self, call: Call, inputs: Any) -> None:
        """See `FollowingWatch.began`."""
        outer, given = self._tallies[self.open[-2]], _tensors(inputs)
        outer.hand_on(given)
        self._tallies[call] = _Tally(given)
        self._running = call, "forward"

    def ended(self, call: Call, outputs: Any) -> None:
        """See `FollowingWatch.ended`."""
        made = _tensors(outputs)
        self._tallies[call].results.add(made)
        self._tallies[self.open[-1]].receive(made)
        self._running = self.open[-1], "forward"

    def attach(self, node: Node, call: Call) -> None:
        """See `FollowingWatch.attach`."""

        def begin(gradients: Any) -> None:
            self._running = call, "backward"

        node.register_prehook(begin)
        node.register_hook(lambda leaving, arriving: self._passed(self._tallies[call], leaving, arriving))

    def _passed(self, tally: _Tally, leaving: Any, arriving: Any) -> None:
        arriving = _tensors(arriving)
        known = Memory(arriving)
        new = [gradient for gradient in _tensors(leaving) if gradient not in known]
        if new:
            inside = [gradient for gradient in arriving if gradient in tally.gradients_out]
            tally.within.add(inside)
            tally.gradients_in.add(gradient for gradient in arriving if gradient not in tally.gradients_out)
            tally.gradients_out.add(new)


class _Counting(TorchDispatchMode):
    """Tells the ledger of every matrix product, and of every tensor that is kept for the backward pass."""

    def __init__(self, ledger: Ledger):
        super().__init__()
        self._ledger = ledger
        self._open = ExitStack()

    def __enter__(self) -> "_Counting":
        self._open.enter_context(saved_tensors_hooks(self._ledger.keep, lambda tensor: tensor))
        self._open.enter_context(told_products(self._ledger.count_products))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._open.__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function.overloadpacket):
            factors = _tensors(args)
            operations = count(*args, **(kwargs or {}), out_val=result)
            self._ledger.count_products(operations * (4 if factors[0].is_complex() else 1), factors[0].dtype)
        return result


def _tensors(tree: Any) -> list[Tensor]:
    leaves = tree_leaves(tree)
    held = [parameter for leaf in leaves if isinstance(leaf, nn.Module) for parameter in leaf.parameters()]
    return [*(leaf for leaf in leaves if isinstance(leaf, Tensor)), *held]


def _where(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())
