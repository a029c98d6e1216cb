"""The contract of every sequence layer.

forward == prefill of any chunks == repeated step, in outputs and gradients. What stands beyond a sequence's length
changes nothing within it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

Method = TypeVar("Method", bound=Callable)


def full_precision(method: Method) -> Method:
    """A method of a layer that computes in its parameters' precision under autocast too."""

    @wraps(method)
    def within(self, *arguments, **options):
        device = next(self.parameters()).device.type
        off = torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
        with off:
            return method(self, *arguments, **options)

    return cast(Method, within)


class Recurrence(ABC):
    """A layer discretised once, to run through time step by step or chunk by chunk.

    It holds the tensors computed from the layer's parameters when it was made; gradients flow through them to the
    parameters, but later changes of the parameters do not reach it.
    """

    @abstractmethod
    def initial_state(self, batch: int) -> Tensor:
        """The state before the first step, for `batch` sequences; real, batch first."""

    @abstractmethod
    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One time step, at a cost that does not depend on how many came before.

        Args:
            u: (B, H) float.
            state: as from `initial_state`, `prefill` or `step`.
        Returns:
            Output (B, d_output) and the state after this step.
        Raises:
            ValueError: another shape, or a state of another number of sequences.
        """

    @abstractmethod
    def prefill(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """A chunk of each sequence, in parallel, from a state to the state after the chunk.

        Args:
            u: (B, L, H) float.
            state: as from `initial_state`, `prefill` or `step`.
        Returns:
            Outputs (B, L, d_output) and the state after step L.
        Raises:
            ValueError: another shape, no steps, or a state of another number of sequences.
        """


class SequenceLayer(nn.Module, ABC):
    """Maps a sequence (B, L, H) to a sequence (B, L, d_output), in parallel or step by step.

    Attributes:
        d_model: H, the number of input features.
        d_output: features out: M H for a layer of M channels per feature, channel by channel; H for all others.
        bidirectional: the output at a step depends on later steps too; then there is no recurrent mode.
    """

    d_model: int
    d_output: int
    bidirectional: bool

    @abstractmethod
    def forward(self, u: Tensor, lengths: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """Whole sequences, in parallel over time.

        Args:
            u: (B, L, H) float, L at least 1; computed in the parameters' precision.
            lengths: valid steps of each sequence, (B,) int64; None where all L are, or u is zero beyond them.
            rate: factor on the time step; 2.0 runs a model on data of half its training sample rate.
        Returns:
            (B, L, d_output) float; zero-input response of the layer beyond `lengths`, to be ignored. Gradients are of
            first order.
        Raises:
            ValueError: other shapes, no steps, or a rate that is not above 0.
        """

    def attune(self, max_length: int) -> None:
        """Prepare the parameters for sequences of up to max_length steps; a model calls it once, when it is built.

        A layer whose parameters do not depend on the length does nothing.
        """

    @full_precision
    def recurrence(self, rate: float = 1.0) -> Recurrence:
        """The layer's recurrent mode, discretised for a time step of `rate` times the learned one.

        Raises:
            ValueError: the layer is bidirectional, or the rate not above 0.
        """
        check_rate(rate)
        if self.bidirectional:
            raise ValueError(
                f"{type(self).__name__}: a bidirectional layer needs the whole sequence; "
                "build it with bidirectional=False to run it step by step"
            )
        return self._recurrence(rate)

    @abstractmethod
    def _recurrence(self, rate: float) -> Recurrence:
        """The layer discretised, with C of all its directions; `recurrence` refuses those of two."""

    @abstractmethod
    def time_steps(self, rate: float = 1.0) -> Tensor:
        """Delta of all the layer's systems or states, positive, in any shape.

        Args:
            rate: factor on the learned ones.
        """

    @abstractmethod
    def spectral_radius(self, rate: float = 1.0) -> float:
        """Largest absolute eigenvalue of A_bar over all the layer's systems; the state decays where it is below 1.

        It is computed for a log, not for training: no gradient flows, and eigenvalues of dense matrices are taken in
        float64. Rounding moves these by about the conditioning of A, but never far beyond 1 while A is dissipative, as
        those of S4 and LSSL are by their parametrisation.

        Args:
            rate: factor on the time step.
        """

    def initial_state(self, batch: int) -> Tensor:
        """See `Recurrence.initial_state`."""
        return self.recurrence().initial_state(batch)

    def prefill(self, u: Tensor, state: Tensor, rate: float = 1.0) -> tuple[Tensor, Tensor]:
        """See `Recurrence.prefill`."""
        return self.recurrence(rate).prefill(u, state)

    def step(self, u: Tensor, state: Tensor, rate: float = 1.0) -> tuple[Tensor, Tensor]:
        """See `Recurrence.step`; in a loop, make the recurrence once and call its `step`."""
        return self.recurrence(rate).step(u, state)


def check_input(u: Tensor, d_model: int, lengths: Tensor | None = None) -> None:
    """Refuse input of another shape than (B, L, d_model), L at least 1, or lengths of another number than B.

    Raises:
        ValueError: names both shapes.
    """
    if u.dim() != 3 or u.shape[1] < 1 or u.shape[2] != d_model:
        raise ValueError(f"input of shape {tuple(u.shape)}: must be (batch, length, {d_model}), of at least one step")
    check_lengths(lengths, len(u))


def check_lengths(lengths: Tensor | None, batch: int) -> None:
    """Refuse lengths of another number than there are sequences.

    Raises:
        ValueError: names both.
    """
    if lengths is not None and lengths.shape != (batch,):
        raise ValueError(f"lengths of shape {tuple(lengths.shape)}: must be ({batch},), one for each sequence")


def check_step(u: Tensor, d_model: int, state: Tensor, shape: Sequence[int]) -> None:
    """Refuse the input of one step, and a state, of other shapes than (B, d_model) and (B, *shape).

    Raises:
        ValueError: names both shapes.
    """
    if u.dim() != 2 or u.shape[1] != d_model:
        raise ValueError(f"input of shape {tuple(u.shape)}: must be (batch, {d_model}), one step")
    check_state(state, u.shape[0], shape)


def check_state(state: Tensor, batch: int, shape: Sequence[int]) -> None:
    """Refuse a state of other sequences or of another layer.

    Raises:
        ValueError: names both shapes.
    """
    if state.shape != (batch, *shape):
        raise ValueError(f"state of shape {tuple(state.shape)}: must be {(batch, *shape)}, one for each sequence")


def check_rate(rate: float) -> None:
    """Refuse a factor on the time step that is not positive.

    Raises:
        ValueError: it is zero, negative or NaN.
    """
    if not rate > 0:
        raise ValueError(f"rate={rate}: a factor on the time step, must be above 0")


def check_time_steps(dt_min: float, dt_max: float) -> None:
    """Refuse a range of initial time steps that is none.

    Raises:
        ValueError: a step that is not positive, or the wrong order.
    """
    if not 0 < dt_min <= dt_max:
        raise ValueError(f"dt_min={dt_min}, dt_max={dt_max}: must be positive and in this order")
