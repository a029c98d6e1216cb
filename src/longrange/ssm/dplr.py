"""Diagonal plus low-rank systems, A = Lambda - P P^*, under the bilinear rule.

Half storage: the N/2 complex states whose conjugates are implied, so that inner products are
P^* x = 2 Re sum conj(P) x and outputs y = 2 Re sum C x. As a real system the state is [Re x, Im x]. Source: S4 (arXiv
2111.00396), appendix C.2 for the step, C.3 for the truncation.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from longrange.ssm.dense import inverse
from longrange.ssm.transition import DenseTransition, DiagonalTransition, Transition

_AT_ONCE = 16  # matrices whose eigenvalues one core takes in a row


class BilinearDPLR:
    """H systems after the bilinear rule: A_bar = (2/dt - A)^-1 (2/dt + A), B_bar = 2 (2/dt - A)^-1 B, at cost O(R N).

    By the Woodbury identity A_bar is diagonal plus low-rank again, A_bar = diagonal - left right^T.

    Args:
        Lambda: (H, N/2) complex, real parts not positive.
        P: (R, H, N/2) complex.
        dt: time steps, (H,) real and positive.
    """

    def __init__(self, Lambda: Tensor, P: Tensor, dt: Tensor):
        half_dt = dt.unsqueeze(-1) / 2
        self._gain = half_dt / (1 - half_dt * Lambda)  # (2/dt - Lambda)^-1
        self._right = P.conj() * self._gain
        inner = 2 * torch.einsum("rhn,shn->hrs", self._right, P).real
        small = torch.linalg.inv(inner + torch.eye(len(P), dtype=inner.dtype, device=inner.device))
        self._left = 2 / half_dt * torch.einsum("rhn,hrs->shn", self._gain * P, small.to(P.dtype))
        self._diagonal = self._gain * (1 / half_dt + Lambda)
        self._half_dt = half_dt

    def apply(self, x: Tensor) -> Tensor:
        """A_bar x; states (..., H, N/2) complex to the same."""
        return self._diagonal * x - self._low_rank(x)

    def input(self, B: Tensor) -> Tensor:
        """B_bar of an input vector B; (..., H, N/2) complex to the same."""
        return 2 * self._gain * B - self._half_dt * self._low_rank(B)

    def dense(self) -> Tensor:
        """A_bar as real matrices (H, N, N), acting on the states [Re x, Im x]."""
        H, half = self._gain.shape
        basis = state_to_complex(torch.eye(2 * half, dtype=self._half_dt.dtype, device=self._half_dt.device))
        return state_to_real(self.apply(basis.unsqueeze(1).expand(-1, H, -1))).permute(1, 2, 0)

    def _low_rank(self, x: Tensor) -> Tensor:
        """left right^T x, where the inner product takes in the implied conjugates."""
        inner = 2 * (self._right * x.unsqueeze(-3)).sum(-1, keepdim=True).real
        return (self._left * inner).sum(-3)


class DPLRTransition(Transition):
    """A_bar of a diagonal plus low-rank system: O(N) for a step, dense for powers.

    Args:
        system: after the bilinear rule.
    """

    def __init__(self, system: BilinearDPLR):
        super().__init__()
        self._system = system
        self._matrix: DenseTransition | None = None
        self._matrix_has_gradient = False

    def times(self, x: Tensor) -> Tensor:
        """See `Transition.times`."""
        return state_to_real(self._system.apply(state_to_complex(x.transpose(0, 1)))).transpose(0, 1)

    def transposed_times(self, c: Tensor) -> Tensor:
        """See `Transition.transposed_times`."""
        return self._as_dense().transposed_times(c)

    def dense(self) -> Tensor:
        """See `Transition.dense`."""
        return self._as_dense().A

    def _squared(self) -> Transition:
        return self._as_dense().squared()

    def _as_dense(self) -> DenseTransition:
        if self._matrix is None or (torch.is_grad_enabled() and not self._matrix_has_gradient):
            self._matrix, self._matrix_has_gradient = DenseTransition(self._system.dense()), torch.is_grad_enabled()
        return self._matrix


def dense_dplr(Lambda: Tensor, P: Tensor) -> Tensor:
    """A = Lambda - P P^* as real matrices acting on the states [Re x, Im x].

    Args:
        Lambda: (S, N/2) complex.
        P: (R, S, N/2) complex.
    Returns:
        (S, N, N).
    """
    column = state_to_real(P).movedim(0, -1)
    diagonal = DiagonalTransition(torch.stack([Lambda.real, Lambda.imag])).dense()
    return diagonal - 2 * column @ column.mT


def dplr_eigenvalues(Lambda: Tensor, P: Tensor) -> Tensor:
    """Eigenvalues of A = Lambda - P P^*, the implied conjugate states included.

    They are taken on the CPU, a few matrices at a time on each core: few libraries for GPUs have them.

    Args:
        Lambda: (S, N/2) complex.
        P: (R, S, N/2) complex.
    Returns:
        (S, N) complex, on the CPU.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as cores:
        parts = dense_dplr(Lambda, P).cpu().split(_AT_ONCE)
        return torch.cat(list(cores.map(torch.linalg.eigvals, parts)))


def truncate(C: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """C_tilde = C (I - A_bar^L): the output rows whose endless response, folded to period L, is that of C cut at L.

    Args:
        C: real rows, (M, H, N).
        A_bar: real transitions, (H, N, N).
        L: steps after which the response is cut.
    Returns:
        (M, H, N).
    """
    return C - _after(C, A_bar, L)


def untruncate(C_tilde: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """C of C_tilde = C (I - A_bar^L); shapes as in `truncate`."""
    kept = torch.eye(A_bar.shape[-1], dtype=A_bar.dtype, device=A_bar.device) - torch.linalg.matrix_power(A_bar, L)
    # A_bar contracts, as P P^* and -Re Lambda are positive: what `inverse` asks for.
    return torch.einsum("mhi,hij->mhj", C_tilde, inverse(kept))


def double_length(C_tilde: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """C_tilde for length 2 L from that for length L, C_tilde (I + A_bar^L); shapes as in `truncate`."""
    return C_tilde + _after(C_tilde, A_bar, L)


def state_to_real(x: Tensor) -> Tensor:
    """(..., N/2) complex states to (..., N) real ones, [Re x, Im x]."""
    return torch.cat([x.real, x.imag], dim=-1)


def state_to_complex(x: Tensor) -> Tensor:
    """(..., N) real states [Re x, Im x] to (..., N/2) complex ones."""
    return torch.complex(*x.chunk(2, dim=-1))


def row_to_real(C: Tensor) -> Tensor:
    """(..., N/2) complex rows to (..., N) real ones, [2 Re C, -2 Im C]; times the real state they give 2 Re(C x)."""
    return torch.cat([2 * C.real, -2 * C.imag], dim=-1)


def row_to_complex(C: Tensor) -> Tensor:
    """(..., N) real rows [2 Re C, -2 Im C] to (..., N/2) complex ones."""
    real, imaginary = C.chunk(2, dim=-1)
    return torch.complex(real / 2, -imaginary / 2)


def _after(C: Tensor, A_bar: Tensor, L: int) -> Tensor:
    """C A_bar^L, the power by repeated squaring."""
    return torch.einsum("mhi,hij->mhj", C, torch.linalg.matrix_power(A_bar, L))
