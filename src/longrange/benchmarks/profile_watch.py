"""Names for what a training step is doing, found from the modules and the kernels that it calls.

A step is a tree of calls. Each call of a module of the model, of the few methods that its parents call instead
(`METHODS`), of a function that a module holds (the pooling) and of a function of `longrange.kernels` has a part: the
module's role, that is its name in the model, the same for all blocks, and, for a kernel, the kernel's name: "encoder",
"norm: batch norm", "layer: linear". Time and work belong to the innermost call that is open.

The backward pass runs nodes of autograd's graph, one after another. Each carries the sequence number that it got when
it was made, in the forward pass, so it belongs to the call that was the innermost one then. This holds for the nodes of
torch as for functions with a backward of their own. Nodes that only keep a parameter's gradient have no such number;
each follows the node that delivers the gradient, and counts to it.
"""

import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import FunctionType
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from longrange import kernels

Direction = Literal["forward", "backward"]

METHODS = {"forward": "", "fork": "", "kernel": "kernel", "scale": "dropout"}  # of modules -> what it adds to the role
SHAPES_ONLY = {"scale"}  # methods that read no values of their arguments
REST = "rest"
# Of longrange.kernels, too small for a part of their own.
_HELPERS = {"one_kernel_is_faster", "parts", "scan_is_faster", "valid_steps"}
_NO_NUMBER = 2**64 - 1  # of nodes that keep a parameter's gradient


class Call:
    """One call of a part.

    Args:
        part: what is called.
    """

    def __init__(self, part: str):
        self.part = part

    @property
    def role(self) -> str:
        """The module's part of the name."""
        return self.part.partition(":")[0]


class Watch:
    """Sees nothing: the step as it is without being watched."""

    def begin(self) -> None:
        """The step begins."""

    def end(self) -> None:
        """The step has ended."""

    def run(self, part: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """Call a function as a part of the step; returns what it returns."""
        return function(*args, **kwargs)

    def follow(self, loss: Tensor) -> None:
        """Make ready for the backward pass from `loss`, which is the next thing to happen."""


class FollowingWatch(Watch):
    """Knows at each moment which call is the innermost; a subclass measures.

    Attributes:
        open: calls that have begun and not ended, the innermost last.
    """

    def __init__(self) -> None:
        self.open = [Call(REST)]
        self._numbers: list[int] = []
        self._owners: list[Call] = []

    def run(self, part: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """See `Watch.run`."""
        return self.run_on((args, kwargs), part, function, *args, **kwargs)

    def run_on(self, inputs: Any, part: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """As `run`, for a function that reads other values than those of its arguments, see `began`."""
        call = Call(part)
        self.open.append(call)
        self._remember()
        self.began(call, inputs)
        result = function(*args, **kwargs)
        self.open.pop()
        self._remember()
        self.ended(call, result)
        return result

    def follow(self, loss: Tensor) -> None:
        """Let each node of the graph tell when it runs."""
        for node in _nodes(loss):
            if node._sequence_nr() != _NO_NUMBER:
                self.attach(node, self._owners[bisect_right(self._numbers, node._sequence_nr()) - 1])

    def _remember(self) -> None:
        """Which call the nodes belong to that are made from now on."""
        self._numbers.append(torch._C._autograd._get_sequence_nr())
        self._owners.append(self.open[-1])

    def began(self, call: Call, inputs: Any) -> None:
        """A call is about to run on inputs, a tree of tensors, modules that stand for their parameters, and others."""

    def ended(self, call: Call, outputs: Any) -> None:
        """A call has returned."""

    def attach(self, node: Node, call: Call) -> None:
        """Take note of a node, before the backward pass, and of the call that made it."""


@contextmanager
def watched(model: nn.Module, watch: FollowingWatch) -> Iterator[None]:
    """Let a watch see what the model calls, as long as the context is open."""
    with ExitStack() as stack:
        for owner, name, replacement in [*_of_modules(model, watch), *_of_kernels(watch)]:
            stack.enter_context(patch.object(owner, name, replacement))
        yield


def role(path: str) -> str:
    """The name of a module in its model that all blocks share: "layer" for "blocks.3.layer.length"."""
    names = path.split(".")
    numbers = [place for place, name in enumerate(names) if name.isdigit()]
    inner = names[numbers[-1] + 1 :] if numbers else names
    return (inner[0] if inner else names[numbers[-1] - 1]).replace("_", " ") or "model"


def _of_modules(model: nn.Module, watch: FollowingWatch) -> Iterator[tuple[Any, str, Callable]]:
    for path, module in model.named_modules():
        for name, label in METHODS.items():
            if callable(getattr(type(module), name, None)):
                part = f"{role(path)}: {label}" if label else role(path)
                yield module, name, _method(watch, part, getattr(module, name), module, reads=name not in SHAPES_ONLY)
        for name, value in vars(module).items():
            if isinstance(value, FunctionType):
                yield module, name, _method(watch, role(f"{path}.{name}".lstrip(".")), value, None)


def _of_kernels(watch: FollowingWatch) -> Iterator[tuple[Any, str, Callable]]:
    named = [getattr(kernels, name) for name in kernels.__all__ if name not in _HELPERS]
    replacements = {function: _kernel(watch, function) for function in named}
    for name, module in list(sys.modules.items()):
        if name.startswith("longrange."):
            for key, value in list(vars(module).items()):
                if isinstance(value, FunctionType) and value in replacements:
                    yield module, key, replacements[value]


def _method(
    watch: FollowingWatch, part: str, function: Callable, module: nn.Module | None, *, reads: bool = True
) -> Callable:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return watch.run_on((args, kwargs, module) if reads else (), part, function, *args, **kwargs)

    return call


def _kernel(watch: FollowingWatch, function: Callable) -> Callable:
    label = function.__name__.replace("_", " ")

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return watch.run(f"{watch.open[-1].role}: {label}", function, *args, **kwargs)

    return call


def _nodes(loss: Tensor) -> list[Node]:
    """All nodes that the backward pass runs."""
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return list(seen)
