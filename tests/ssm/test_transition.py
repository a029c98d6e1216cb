"""Chunked runs and kernels of transitions against the plain loop over time, outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.ssm.transition import DenseTransition, DiagonalTransition, krylov_kernel, run_chunks


def dense(H, N, draw):
    A = torch.randn(H, N, N, generator=draw, dtype=torch.float64)
    return 0.9 * A / torch.linalg.matrix_norm(A, 2)[:, None, None]


def shared(H, N, draw):
    return dense(1, N, draw)[0]


def diagonal(H, N, draw):
    A_bar = torch.randn(2, H, N // 2, generator=draw, dtype=torch.float64)
    return 0.9 * A_bar / A_bar.square().sum(0).sqrt()


def rotation(A_bar):
    """The real matrices, (H, N, N), of complex factors that act on [real parts, imaginary parts]."""
    real, imaginary = torch.diag_embed(A_bar)
    return torch.cat([torch.cat([real, -imaginary], dim=-1), torch.cat([imaginary, real], dim=-1)], dim=-2)


KINDS = {
    "dense": (dense, DenseTransition, lambda A: A),
    "shared": (shared, DenseTransition, lambda A: A),
    "diagonal": (diagonal, DiagonalTransition, rotation),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
shapes = given(
    L=st.sampled_from([1, 2, 3, 5, 8, 31, 64, 100]),
    H=st.integers(1, 3),
    N=st.sampled_from([2, 4, 6]),
    M=st.integers(1, 2),
    seed=st.integers(0, 99),
)


def loop(A, B, C, u, x):
    """The definition, step by step, for matrices A (H, N, N) or (N, N)."""
    outputs = []
    for u_t in u.unbind(1):
        x = (A @ x.unsqueeze(-1)).squeeze(-1) + B * u_t.unsqueeze(-1)
        outputs.append((C * x.unsqueeze(1)).sum(-1))
    return torch.stack(outputs, dim=1), x


def results(function, inputs, draw):
    """Outputs of a function and the gradients of a random projection of them."""
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    draw = torch.Generator().manual_seed(draw)
    loss = sum((y * torch.randn(y.shape, generator=draw, dtype=y.dtype)).sum() for y in outputs)
    return [*outputs, *torch.autograd.grad(loss, inputs, materialize_grads=True)]


def assert_same(ours, twin):
    for a, b in zip(ours, twin, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def system(make, H, N, M, draw):
    """A, B, C as leaves."""
    tensors = [make(H, N, draw)] + [torch.randn(s, generator=draw, dtype=torch.float64) for s in ((H, N), (M, H, N))]
    return [t.requires_grad_() for t in tensors]


@each_kind
@settings(max_examples=25, deadline=None)
@shapes
def test_chunks_equal_the_loop(kind, L, H, N, M, seed):
    make, Transition, matrices = kind
    draw = torch.Generator().manual_seed(seed)
    inputs = system(make, H, N, M, draw)
    for shape in ((2, L, H), (2, H, N)):
        inputs.append(torch.randn(shape, generator=draw, dtype=torch.float64, requires_grad=True))
    ours = results(lambda A, *rest: run_chunks(Transition(A), *rest), inputs, seed)
    assert_same(ours, results(lambda A, *rest: loop(matrices(A), *rest), inputs, seed))


@each_kind
@settings(max_examples=25, deadline=None)
@shapes
def test_kernel_equals_the_response_to_an_impulse(kind, L, H, N, M, seed):
    make, Transition, matrices = kind
    inputs = system(make, H, N, M, torch.Generator().manual_seed(seed))
    impulse = torch.eye(1, L, dtype=torch.float64).unsqueeze(-1).expand(1, L, H)

    def twin(A, B, C):
        y, _ = loop(matrices(A), B, C, impulse, B.new_zeros(1, H, N))
        return y[0].permute(1, 2, 0)

    ours = results(lambda A, B, C: krylov_kernel(Transition(A), B, C, L), inputs, seed)
    assert_same(ours, results(twin, inputs, seed))


@each_kind
@pytest.mark.parametrize("T", [1, 2, 7, 8])
def test_columns_rows_and_orbits_are_powers(kind, T):
    make, Transition, matrices = kind
    A, B, C = (t.detach() for t in system(make, 3, 4, 2, torch.Generator().manual_seed(0)))
    transition, matrix = Transition(A), matrices(A).expand(3, 4, 4)
    powers = [torch.linalg.matrix_power(matrix, t) for t in range(T + 1)]
    columns = torch.stack([torch.einsum("hij,hj->hi", P, B) for P in powers], dim=-1)
    rows = torch.stack([torch.einsum("mhi,hij->mhj", C, P) for P in powers], dim=2)
    torch.testing.assert_close(transition.krylov(B, T), columns[..., :T])
    torch.testing.assert_close(transition.rows(C, T), rows[:, :, 1:])
    torch.testing.assert_close(transition.orbit(C, T), rows[:, :, :T])
    torch.testing.assert_close(transition.apply(C), torch.einsum("hij,mhj->mhi", matrix, C))


def test_squares_are_made_once_but_not_without_wanted_gradients():
    A = dense(2, 3, torch.Generator().manual_seed(0)).requires_grad_()
    transition = DenseTransition(A)
    with torch.inference_mode():
        assert transition.squared() is transition.squared()
    square = transition.squared()
    assert transition.squared() is square
    torch.autograd.grad(square.A.sum(), A)


def test_memory_stays_below_all_states():
    """No intermediate tensor holds a state per step and feature."""
    H, N, L, sizes = 4, 64, 1024, []
    A, B, C = system(dense, H, N, 1, torch.Generator().manual_seed(0))

    def record(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda t: t):
        krylov_kernel(DenseTransition(A), B, C, L)
        run_chunks(DenseTransition(A), B, C, torch.randn(1, L, H).double(), torch.zeros(1, H, N).double())
    assert max(sizes) < H * N * L / 4
