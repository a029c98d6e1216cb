"""The convolution on the CPU against its reference in plain torch, outputs and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longrange.kernels import causal_convolution, fft_cpu, two_sided_convolution
from longrange.kernels.convolution_cpu import features_first, time_first
from tests.backends import of_each_number_of_threads, running, with_gradients


@pytest.fixture(params=["short", "long"], autouse=True, scope="module")
def way(request):
    """Both ways of the CPU for all lengths, apart from those that are long anyway."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "long":
            patch.setattr(fft_cpu, "LONGEST", 0)
        yield request.param


def random_problem(B, L, H, M, *lengths, dtype=torch.float64, seed=0):
    """An input, kernels of the given lengths and D, all wanting gradients, and a cotangent for the output."""
    draw = torch.Generator().manual_seed(seed)
    shapes = [(B, L, H), *((M, H, length) for length in lengths), (M, H)]
    inputs = [torch.randn(shape, generator=draw, dtype=dtype).requires_grad_() for shape in shapes]
    return inputs, torch.randn(B, L, M, H, generator=draw, dtype=dtype)


def convolution(u, K, *others):
    """Two-sided where there are a second kernel and D, else causal."""
    return (two_sided_convolution if len(others) == 2 else causal_convolution)(u, K, *others)


@settings(max_examples=50, deadline=None)
@given(
    B=st.integers(1, 4),
    L=st.integers(1, 150),
    H=st.integers(1, 40),
    M=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=2),
    seed=st.integers(0, 99),
)
def test_cpu_equals_reference(B, L, H, M, lengths, seed):
    problem = random_problem(B, L, H, M, *lengths, seed=seed)
    fast, slow = (with_gradients(convolution, *problem, backend) for backend in ("cpu", "reference"))
    for ours, twin in zip(fast, slow, strict=True):
        assert ours.is_contiguous()
        torch.testing.assert_close(ours, twin, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 5e-15)])
@pytest.mark.parametrize(
    ("B", "L", "H", "M", "lengths"),
    [
        (1, 1, 1, 1, (1,)),
        (1, 1, 17, 2, (3, 3)),
        (2, 2, 16, 1, (2, 1)),
        (3, 64, 48, 2, (64, 64)),
        (5, 100, 17, 1, (7,)),
        (1, 333, 16, 2, (700, 20)),
        (2, 1024, 17, 1, (1024, 1024)),
        (1, 4096, 17, 2, (4096, 4096)),
        (1, 4097, 17, 2, (4097, 4097)),
    ],
)
def test_both_precisions_equal_the_reference_in_double(B, L, H, M, lengths, dtype, tolerance):
    inputs, cotangent = random_problem(B, L, H, M, *lengths)
    exact = with_gradients(convolution, inputs, cotangent, "reference")
    ours = with_gradients(convolution, [t.detach().to(dtype) for t in inputs], cotangent.to(dtype), "cpu")
    for a, b in zip(ours, exact, strict=True):
        assert (a.dtype, a.shape) == (dtype, b.shape)
        assert a.is_contiguous()
        assert (a - b).abs().max() <= tolerance * b.abs().max()


def test_the_number_of_threads_changes_no_bit():
    problem = random_problem(3, 50, 70, 2, 50, 50, dtype=torch.float32)
    results = of_each_number_of_threads(lambda: with_gradients(convolution, *problem, "cpu"))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_a_small_sequence_loses_nothing_beside_large_ones():
    (u, K, K_back, D), _ = random_problem(3, 50, 17, 2, 50, 50, dtype=torch.float32)
    u.data[::2] *= 1e6
    together, alone = two_sided_convolution(u, K, K_back, D), two_sided_convolution(u[1:2], K, K_back, D)
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)


def test_periods_up_to_the_bound_are_powers_of_two(way):
    found = [fft_cpu.period(n) for n in (2, 4, 6, 64, 65, 1 << 19, (1 << 19) + 1)]
    assert found == ([4, 4, 8, 64, 128, 1 << 19, None] if way == "short" else [None] * 7)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("lengths", [(4,), (4, 3)])
@pytest.mark.parametrize("M", [1, 2])
@pytest.mark.parametrize("L", [1, 5])
def test_gradcheck(L, M, lengths, backend):
    inputs, _ = random_problem(2, L, 2, M, *lengths)
    with running(backend):
        assert torch.autograd.gradcheck(convolution, inputs)


def test_without_D_the_current_input_has_the_kernels_weight_alone():
    (u, K, K_back, D), _ = random_problem(2, 20, 3, 2, 20, 20)
    for ours, twin in (
        (causal_convolution(u, K), causal_convolution(u, K, 0 * D)),
        (two_sided_convolution(u, K, K_back), two_sided_convolution(u, K, K_back, 0 * D)),
    ):
        torch.testing.assert_close(ours, twin, rtol=0, atol=1e-12)


@pytest.mark.parametrize("M", [1, 2])
def test_float32_on_a_long_sequence(M):
    inputs, cotangent = random_problem(2, 5000, 17, M, 5000, 5000)
    exact = with_gradients(convolution, inputs, cotangent, "reference")
    single = with_gradients(convolution, [t.detach().float() for t in inputs], cotangent.float(), "cpu")
    for ours, twin in zip(single, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - twin).abs().max() < 2e-6 * twin.abs().max()


def test_half_precision_inputs_meet_a_float32_kernel():
    (u, K, D), cotangent = random_problem(2, 33, 3, 1, 33, dtype=torch.float32)
    low = u.detach().bfloat16().requires_grad_()
    y = causal_convolution(low, K, D)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, causal_convolution(low.float(), K, D))
    grad_u, grad_K = torch.autograd.grad(y, [low, K], cotangent)
    assert (grad_u.dtype, grad_K.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("wanted", range(4))
@pytest.mark.parametrize("M", [1, 2])
def test_the_gradient_of_one_argument_alone(wanted, M):
    inputs, cotangent = random_problem(2, 6, 3, M, 6, 5)
    together = torch.autograd.grad(convolution(*inputs), inputs, cotangent)
    alone = [t.detach().requires_grad_(i == wanted) for i, t in enumerate(inputs)]
    (grad,) = torch.autograd.grad(convolution(*alone), alone[wanted], cotangent)
    torch.testing.assert_close(grad, together[wanted])


def test_a_second_backward_finds_what_the_first_found():
    inputs, cotangent = random_problem(2, 9, 3, 2, 9)
    y = convolution(*inputs)
    first, second = (torch.autograd.grad(y, inputs, cotangent, retain_graph=True) for _ in range(2))
    for ours, twin in zip(first, second, strict=True):
        torch.testing.assert_close(ours, twin, rtol=0, atol=0)


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (3, 2, 1, 0), (0, 3, 2, 1)])
def test_arguments_in_another_memory_order_are_read_right(order):
    inputs, cotangent = random_problem(3, 8, 5, 2, 8, 7)
    strided = [t.detach().transpose(0, -1).contiguous().transpose(0, -1) for t in inputs]
    turned = cotangent.permute(order).contiguous().permute(torch.tensor(order).argsort().tolist())
    ours = with_gradients(convolution, strided, turned, "cpu")
    for a, b in zip(ours, with_gradients(convolution, inputs, cotangent, "cpu"), strict=True):
        torch.testing.assert_close(a, b)


def test_a_cotangent_that_is_one_number_everywhere_is_read_right():
    inputs, cotangent = random_problem(2, 9, 3, 1, 9)
    summed = torch.autograd.grad(convolution(*inputs).sum(), inputs)
    for a, b in zip(summed, torch.autograd.grad(convolution(*inputs), inputs, cotangent.fill_(1)), strict=True):
        torch.testing.assert_close(a, b)


def test_a_nan_in_one_feature_stays_in_it():
    (u, K, D), cotangent = random_problem(2, 30, 20, 2, 30)
    u.data[1, 4, 17] = K.data[1, 3, 2] = float("nan")
    y, *_ = outputs = with_gradients(convolution, (u, K, D), cotangent, "cpu")
    others = [h for h in range(20) if h not in (3, 17)]
    assert all(t.isfinite().all() for t in (y[..., others], outputs[1][..., others], outputs[2][:, others]))
    assert y[0, :, :, 17].isfinite().all()
    assert y[1, :, :, 17].isnan().all()
    assert y[:, :, 0, 3].isfinite().all()
    assert y[:, :, 1, 3].isnan().all()


@pytest.mark.parametrize(("B", "L", "H", "n"), [(1, 1, 1, 2), (2, 64, 16, 128), (3, 65, 17, 65), (1, 200, 33, 300)])
def test_time_and_features_change_places_and_back(B, L, H, n):
    u = torch.randn(B, L, H)
    turned = features_first(u, n)
    assert torch.equal(turned[..., :L], u.transpose(1, 2))
    assert (turned[..., L:] == 0).all()
    assert torch.equal(time_first(turned, L), u)
