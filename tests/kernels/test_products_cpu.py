"""Products within kernels against numpy's."""

import numpy as np
import pytest
import torch

from longrange.kernels.numba_tools import sequential
from longrange.kernels.products_cpu import add_matrix_product, panels


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
