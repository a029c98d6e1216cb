"""The recurrent mode of layers with one system per feature: x_t = A_bar x_{t-1} + B_bar u_t, y_t = C x_t + D u_t."""

import torch
from torch import Tensor

from longrange.kernels import feature_scan
from longrange.layers.base import Recurrence, check_input, check_state, check_step
from longrange.ssm import Transition, run_chunks


class FeatureRecurrence(Recurrence):
    """H systems of one input and M outputs; the state is (B, H, N) real.

    Args:
        transition: A_bar.
        B_bar: (H, N).
        C: (M, H, N).
        D: (M, H).
    """

    def __init__(self, transition: Transition, B_bar: Tensor, C: Tensor, D: Tensor):
        self.transition, self.B_bar, self.C, self.D = transition, B_bar, C, D

    def initial_state(self, batch: int) -> Tensor:
        """(batch, H, N) zeros."""
        return self.B_bar.new_zeros(batch, *self.B_bar.shape)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Recurrence.step`."""
        check_step(u, self.D.shape[1], state, self.B_bar.shape)
        with self._full_precision():
            return self._step(u.to(self.D.dtype), state)

    def prefill(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Recurrence.prefill`."""
        check_input(u, self.D.shape[1])
        check_state(state, u.shape[0], self.B_bar.shape)
        u = u.to(self.D.dtype)
        with self._full_precision():
            y, state = run_chunks(self.transition, self.B_bar, self.C, u, state)
            return torch.addcmul(y, self.D, u.unsqueeze(2)).flatten(2), state

    def scan(self, u: Tensor, bidirectional: bool) -> Tensor:
        """Whole sequences (B, L, H) from a state zero, step by step: (B, L, M, H).

        Where bidirectional, C is (2 M, H, N), and its second half reads the states of later steps.
        """
        A = self.transition.dense().expand(len(self.B_bar), -1, -1)
        return feature_scan(A, self.B_bar, self.C, self.D, u.to(self.D.dtype), bidirectional=bidirectional)

    def _full_precision(self) -> torch.autocast:
        return torch.autocast(self.D.device.type, enabled=False)

    def _step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.addcmul(self.transition.apply(state), self.B_bar, u.unsqueeze(-1))
        y = torch.einsum("mhn,bhn->bmh", self.C, state)
        return torch.addcmul(y, self.D, u.unsqueeze(1)).flatten(1), state
