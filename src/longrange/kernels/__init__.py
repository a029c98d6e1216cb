"""The hot loops: of each a reference, of most a CPU and a GPU version, behind one switch."""

from longrange.kernels.batch_norm import batch_norm
from longrange.kernels.cauchy import cauchy
from longrange.kernels.convolution import causal_convolution, two_sided_convolution
from longrange.kernels.diagonal_system import diagonal_system
from longrange.kernels.dplr import dplr_kernel
from longrange.kernels.feature_scan import feature_scan, scan_is_faster
from longrange.kernels.half_glu import half_glu
from longrange.kernels.linear import linear, round_projections
from longrange.kernels.mimo_scan import mimo_scan, one_kernel_is_faster
from longrange.kernels.mixed_glu import mixed_glu
from longrange.kernels.padding import valid_steps, zero_padding
from longrange.kernels.parts import parts
from longrange.kernels.pointwise import add_scaled, gated, gelu, gelu_fork, glu, scaled_fork
from longrange.kernels.scan import diagonal_scan
from longrange.kernels.truncated_system import truncated_system
from longrange.kernels.vandermonde import vandermonde

__all__ = [
    "add_scaled",
    "batch_norm",
    "cauchy",
    "causal_convolution",
    "diagonal_scan",
    "diagonal_system",
    "dplr_kernel",
    "feature_scan",
    "gated",
    "gelu",
    "gelu_fork",
    "glu",
    "half_glu",
    "linear",
    "mimo_scan",
    "mixed_glu",
    "one_kernel_is_faster",
    "parts",
    "round_projections",
    "scaled_fork",
    "scan_is_faster",
    "truncated_system",
    "two_sided_convolution",
    "valid_steps",
    "vandermonde",
    "zero_padding",
]
