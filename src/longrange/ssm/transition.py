"""Running discrete systems, one per feature, through time: chunk by chunk, or as their kernel.

    x_t = A x_{t-1} + B u_t,    y_t = C x_t

in real form: N real states, one input and M outputs for each of H features. Within a chunk of about sqrt(L) steps all
is matrix products; only the state goes from chunk to chunk. Powers of A come by squaring, so that columns A^t B and
rows C A^t of a chunk cost one product with A, A^2, A^4, ... each.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad


class Transition(ABC):
    """The matrix A of each of H systems, seen only through its products."""

    def __init__(self) -> None:
        self._square: Transition | None = None
        self._square_has_gradient = False

    @abstractmethod
    def times(self, x: Tensor) -> Tensor:
        """A x for J states of each system: (H, J, N) to (H, J, N)."""

    @abstractmethod
    def transposed_times(self, c: Tensor) -> Tensor:
        """c A for J rows of each system: (H, J, N) to (H, J, N)."""

    @abstractmethod
    def dense(self) -> Tensor:
        """A itself, real: (H, N, N), or (N, N) where all features share it."""

    @abstractmethod
    def _squared(self) -> "Transition":
        """The transition of A^2."""

    def apply(self, x: Tensor) -> Tensor:
        """A x for states (B, H, N)."""
        return self.times(x.transpose(0, 1)).transpose(0, 1)

    def squared(self) -> "Transition":
        """The transition of A^2, kept for later calls unless made without the gradients they need."""
        if self._square is None or (torch.is_grad_enabled() and not self._square_has_gradient):
            self._square, self._square_has_gradient = self._squared(), torch.is_grad_enabled()
        return self._square

    def doubled(self, k: int) -> "Transition":
        """The transition of A^(2^k)."""
        return self if k == 0 else self.squared().doubled(k - 1)

    def advance(self, x: Tensor, t: int) -> Tensor:
        """A^t x for J states of each system, (H, J, N): one product per binary digit 1 of t."""
        for k in range(t.bit_length()):
            if t >> k & 1:
                x = self.doubled(k).times(x)
        return x

    def krylov(self, b: Tensor, T: int) -> Tensor:
        """A^t b for t = 0 .. T - 1.

        Args:
            b: (H, N).
            T: number of columns, at least 1.
        Returns:
            (H, N, T).
        """
        X = b.unsqueeze(1)
        while (t := X.shape[1]) < T:
            X = torch.cat([X, self.doubled(t.bit_length() - 1).times(X[:, : T - t])], dim=1)
        return X.mT

    def rows(self, c: Tensor, T: int) -> Tensor:
        """c A^(t+1) for t = 0 .. T - 1.

        Args:
            c: (M, H, N).
            T: number of rows of each channel, at least 1.
        Returns:
            (M, H, T, N).
        """
        M = len(c)
        R = self.transposed_times(c.transpose(0, 1))
        while (t := R.shape[1] // M) < T:
            R = torch.cat([R, self.doubled(t.bit_length() - 1).transposed_times(R[:, : (T - t) * M])], dim=1)
        return R.unflatten(1, (T, M)).permute(2, 0, 1, 3)

    def orbit(self, c: Tensor, n: int) -> Tensor:
        """c A^k for k = 0 .. n - 1, each from the one before.

        Args:
            c: (M, H, N).
            n: number of rows of each channel, at least 1.
        Returns:
            (M, H, n, N).
        """
        rows = [c.transpose(0, 1)]
        while len(rows) < n:
            rows.append(self.transposed_times(rows[-1]))
        return torch.stack(rows, dim=2).transpose(0, 1)


class DenseTransition(Transition):
    """A as it stands.

    Args:
        A: (H, N, N), or (N, N) where all features share it.
    """

    def __init__(self, A: Tensor):
        super().__init__()
        self.A = A

    def times(self, x: Tensor) -> Tensor:
        """See `Transition.times`."""
        return x @ self.A.mT

    def transposed_times(self, c: Tensor) -> Tensor:
        """See `Transition.transposed_times`."""
        return c @ self.A

    def orbit(self, c: Tensor, n: int) -> Tensor:
        """See `Transition.orbit`."""
        return _DenseOrbit.apply(self.A, c.transpose(0, 1), n).permute(2, 1, 0, 3)

    def dense(self) -> Tensor:
        """See `Transition.dense`."""
        return self.A

    def _squared(self) -> Transition:
        return DenseTransition(self.A @ self.A)


class _DenseOrbit(torch.autograd.Function):
    """Rows c A^k, (n, H, M, N): the gradient of A is one product over all k, not a sum of n matrices."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, c: Tensor, n: int) -> Tensor:
        rows = c.new_empty(n, *c.shape)
        rows[0] = c
        for k in range(1, n):
            torch.matmul(rows[k - 1], A, out=rows[k])
        ctx.save_for_backward(A, rows)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        A, rows = ctx.saved_tensors
        total = grad.clone()
        for k in range(len(rows) - 1, 0, -1):
            total[k - 1] += total[k] @ A.mT
        if not ctx.needs_input_grad[0]:
            return None, total[0], None
        before, after = (x.permute(1, 0, 2, 3).flatten(1, 2) for x in (rows[:-1], total[1:]))
        return (before.mT @ after).sum_to_size(A.shape), total[0], None


class DiagonalTransition(Transition):
    """Diagonal and complex, one of each conjugate pair kept; the N reals of a state are real, then imaginary parts.

    Args:
        A_bar: (2, H, N / 2), real and imaginary parts.
    """

    def __init__(self, A_bar: Tensor):
        super().__init__()
        self.A_bar = A_bar

    def times(self, x: Tensor) -> Tensor:
        """See `Transition.times`."""
        return _complex_product(self.A_bar[0], self.A_bar[1], x)

    def transposed_times(self, c: Tensor) -> Tensor:
        """See `Transition.transposed_times`; the transpose of a rotation turns back."""
        return _complex_product(self.A_bar[0], -self.A_bar[1], c)

    def dense(self) -> Tensor:
        """See `Transition.dense`."""
        real, imaginary = self.A_bar.diag_embed()
        return torch.cat([torch.cat([real, -imaginary], dim=-1), torch.cat([imaginary, real], dim=-1)], dim=-2)

    def _squared(self) -> Transition:
        real, imaginary = self.A_bar
        return DiagonalTransition(torch.stack([real.square() - imaginary.square(), 2 * real * imaginary]))


def run_chunks(transition: Transition, B: Tensor, C: Tensor, u: Tensor, x0: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and last state of L steps.

    Args:
        transition: A.
        B: (H, N).
        C: (M, H, N).
        u: (B, L, H).
        x0: state before the first step, (B, H, N).
    Returns:
        y, (B, L, M, H), and the state after step L, (B, H, N).
    """
    L, T = u.shape[1], 1 << _log_chunk(u.shape[1])
    first = (L - 1) % T + 1
    X, R = transition.krylov(B, T), transition.rows(C, T).transpose(0, 1)
    # Zeros before the first step make whole chunks and leave every state as it is.
    steps = pad(u, (0, 0, T - first, 0)).unflatten(1, (-1, T)).permute(3, 2, 1, 0)
    y, ends = _from_inputs(X, C, steps)
    starts, x = [], transition.advance(x0.transpose(0, 1), first) + ends[0]
    for end in ends[1:]:
        starts.append(x)
        x = transition.advance(x, T) + end
    y = y + torch.cat([_first_response(R, x0, first), _responses(R, starts, x0)], dim=3)
    return y.permute(4, 3, 2, 1, 0).flatten(1, 2)[:, T - first :], x.transpose(0, 1)


def krylov_kernel(transition: Transition, B: Tensor, C: Tensor, L: int) -> Tensor:
    """The convolution kernels K_l = C A^l B.

    Args:
        transition: A.
        B: (H, N).
        C: (M, H, N).
        L: length.
    Returns:
        (M, H, L).
    """
    return KernelTable.of(transition, B, _log_chunk(L)).kernel(C, L)


@dataclass(frozen=True)
class KernelTable:
    """What kernels of any length need of A and B.

    Attributes:
        columns: A^t B for t < T, (H, N, T).
        block: A^T.
    """

    columns: Tensor
    block: Transition

    @classmethod
    def of(cls, transition: Transition, B: Tensor, k: int) -> "KernelTable":
        """The table with T = 2^k; a kernel of L steps then takes L / T products with A^T, one after another."""
        return cls(transition.krylov(B, 1 << k), transition.doubled(k))

    def kernel(self, C: Tensor, L: int) -> Tensor:
        """C A^l B, (M, H, L), for C (M, H, N): rows C A^(j T) times the columns."""
        rows = self.block.orbit(C, -(-L // self.columns.shape[-1])).transpose(0, 1)
        K = rows.flatten(1, 2) @ self.columns
        return K.unflatten(1, rows.shape[1:3]).flatten(2)[..., :L].transpose(0, 1)


def _log_chunk(L: int) -> int:
    """log2 of a chunk of about sqrt(L) steps."""
    return (L - 1).bit_length() // 2


def _from_inputs(X: Tensor, C: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """What the inputs of each chunk make of a state zero, in one product.

    Args:
        X: columns A^t B, (H, N, T).
        C: (M, H, N).
        steps: inputs, (H, T, n, B) for n chunks.
    Returns:
        Outputs, (H, M, T, n, B), and states after each chunk, (n, H, B, N).
    """
    (_, N, T), M = X.shape, len(C)
    K = C.transpose(0, 1) @ X
    toeplitz = pad(K, (T - 1, 0)).unfold(-1, T, 1).flatten(1, 2)
    both = torch.cat([toeplitz, X], dim=1) @ steps.flip(1).flatten(2)
    y, ends = both.unflatten(2, steps.shape[2:]).split([M * T, N], dim=1)
    return y.unflatten(1, (M, T)), ends.permute(2, 0, 3, 1)


def _first_response(R: Tensor, x0: Tensor, first: int) -> Tensor:
    """Outputs that x0, (B, H, N), leaves in the last `first` steps of a chunk: (H, M, T, 1, B)."""
    y = R[:, :, :first] @ x0.permute(1, 2, 0).unsqueeze(1)
    return pad(y, (0, 0, R.shape[2] - first, 0)).unsqueeze(3)


def _responses(R: Tensor, starts: list[Tensor], x0: Tensor) -> Tensor:
    """Outputs that n states (H, B, N) before whole chunks leave in them, R (H, M, T, N): (H, M, T, n, B)."""
    if not starts:
        return R.new_zeros(*R.shape[:3], 0, len(x0))
    states = torch.stack(starts, dim=1)
    y = R.flatten(1, 2) @ states.flatten(1, 2).mT
    return y.unflatten(2, states.shape[1:3]).unflatten(1, R.shape[1:3])


def _complex_product(real: Tensor, imaginary: Tensor, x: Tensor) -> Tensor:
    """(real + i imaginary) x for x (H, J, N), the parts of each row side by side; factors (H, N / 2)."""
    real, imaginary = real.unsqueeze(1), imaginary.unsqueeze(1)
    x_real, x_imaginary = x.chunk(2, dim=-1)
    return torch.cat([real * x_real - imaginary * x_imaginary, real * x_imaginary + imaginary * x_real], dim=-1)
