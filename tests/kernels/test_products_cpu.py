"""Products within kernels against numpy's, of numbers and of pairs of bfloat16."""

import numpy as np
import pytest
import torch

from longrange.kernels.numba_tools import arrays, sequential
from longrange.kernels.pairs_cpu import paired_across, paired_down, paired_panels, sums_of, write_sums
from longrange.kernels.products_cpu import add_matrix_product, panels
from tests.backends import needs_pairs


@sequential
def _add(a, b, out):
    add_matrix_product(a, b, out)


@sequential
def _add_turned(a, b, out):
    add_matrix_product(a.T, b, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("M", "K", "N"), [(1, 1, 16), (8, 5, 32), (19, 7, 48), (64, 33, 80), (3, 0, 16)])
def test_equals_numpy_with_either_factor_order(M, K, N, dtype):
    draw = np.random.default_rng(0)
    a, b, out = (draw.standard_normal(shape).astype(dtype) for shape in ((M, K), (K, N), (M, N)))
    expected = out + a @ b
    again, of_panels = out.copy(), out.copy()
    _add(a, b, out)
    _add(a, panels(torch.from_numpy(b)).contiguous().numpy(), of_panels)
    _add_turned(np.ascontiguousarray(a.T), b, again)
    tolerance = 20 * np.finfo(dtype).eps * max(1, K)
    np.testing.assert_allclose(out, expected, atol=tolerance)
    np.testing.assert_allclose(again, expected, atol=tolerance)
    np.testing.assert_array_equal(of_panels, out)


def test_rows_of_a_larger_matrix_are_read_and_written_alone():
    draw = np.random.default_rng(0)
    a, b, whole = draw.standard_normal((6, 4)), draw.standard_normal((9, 16)), np.zeros((12, 16))
    _add(a[1:5], b[2:6], whole[3:7])
    np.testing.assert_allclose(whole[3:7], a[1:5] @ b[2:6])
    assert not whole[:3].any()
    assert not whole[7:].any()


@sequential
def _add_of_type(like, a, b, b_panels, out):
    """Both factors in the type of `like`: the second in rows and in panels, the first along rows and along columns."""
    add_matrix_product(paired_across(a, like), paired_down(b, like), out[0])
    add_matrix_product(paired_across(a, like), paired_panels(b_panels, like), out[1])
    add_matrix_product(paired_down(a.T.copy(), like).T, paired_down(b, like), out[2])


@sequential
def _through_sums(a, b, out):
    sums = sums_of(out)
    sums[:] = 0
    add_matrix_product(paired_across(a, out), paired_down(b, out), sums)
    write_sums(sums, out)


TYPES = [torch.float32, pytest.param(torch.bfloat16, marks=needs_pairs)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("M", "K", "N"), [(1, 2, 16), (8, 6, 32), (19, 34, 80)])
def test_factors_of_either_type_in_all_layouts(M, K, N, dtype):
    draw = torch.Generator().manual_seed(0)
    a, b, out = (torch.randn(shape, generator=draw) for shape in ((M, K), (K, N), (3, M, N)))
    expected = out.double() + a.to(dtype).double() @ b.to(dtype).double()
    _add_of_type(*arrays(torch.empty(0, dtype=dtype), a, b, panels(b), out))
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


@needs_pairs
def test_pairs_of_an_odd_number_of_rows():
    a, b, out = torch.randn(5, 7), torch.randn(7, 16), torch.zeros(5, 16)

    @sequential
    def add(like, a, b, out):
        add_matrix_product(paired_down(a.T.copy(), like).T, paired_down(b, like), out)

    add(*arrays(torch.empty(0, dtype=torch.bfloat16), a, b, out))
    torch.testing.assert_close(out, a.bfloat16().float() @ b.bfloat16().float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_sums_come_back_in_the_type_of_the_output(dtype):
    a, b, out = torch.randn(5, 6), torch.randn(6, 16), torch.zeros(5, 16, dtype=dtype)
    _through_sums(*arrays(a, b, out))
    torch.testing.assert_close(out, (a.to(dtype).float() @ b.to(dtype).float()).to(dtype), rtol=1e-2, atol=1e-5)


@needs_pairs
def test_nan_and_infinity_pass_through_pairs():
    a = torch.tensor([[torch.nan, 1.0], [torch.inf, 1.0], [1.0, 1.0]])
    _through_sums(*arrays(a, torch.ones(2, 16), out := torch.zeros(3, 16, dtype=torch.bfloat16)))
    assert out[0].isnan().all()
    assert out[1].isinf().all()
    assert (out[2] == 2).all()
