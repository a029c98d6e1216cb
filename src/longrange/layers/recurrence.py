"""The recurrent mode of layers with one system per feature: x_t = A_bar x_{t-1} + B_bar u_t, y_t = C x_t + D u_t."""

import torch
from torch import Tensor

from longrange.kernels import feature_scan, parts
from longrange.layers.base import Recurrence, check_input
from longrange.ssm import DiagonalTransition, Transition, run_chunks, state_to_real


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
        with self._full_precision():
            return self._step(u.to(self.D.dtype), state)

    def prefill(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Recurrence.prefill`."""
        check_input(u, self.D.shape[1])
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

    def diagonalized(self, dense: Tensor) -> "FeatureRecurrence":
        """The same systems in the eigenbasis of A_bar, N complex states each.

        Args:
            dense: A_bar, (H, N, N) real.
        Raises:
            ValueError: the eigenvectors lie too close to each other for the precision of `dense`.
        """
        Lambda, V = torch.linalg.eig(dense.double())
        worst = torch.linalg.cond(V).max().item()
        if not worst * torch.finfo(dense.dtype).eps < 1e-4:
            raise ValueError(
                f"A_bar has eigenvectors of condition {worst:.1e}, too close to be told apart in {dense.dtype}; "
                "step with `recurrence` instead"
            )
        B = torch.linalg.solve(V, self.B_bar.to(V.dtype).unsqueeze(-1)).squeeze(-1)
        C = torch.einsum("mhi,hij->mhj", self.C.to(V.dtype), V)
        diagonal, column, row = (x.to(dense.dtype) for x in (parts(Lambda), state_to_real(B), state_to_real(C.conj())))
        return FeatureRecurrence(DiagonalTransition(diagonal), column, row, self.D)
