"""Pure maths of state-space models on tensors: HiPPO, spectra, discretisation, kernels, convolution, initial values.

Symbols, here and everywhere: B batch, L length, H features, N or P state, J blocks, M channels, R rank; A, B, C, D,
Lambda, P, Delta or dt; A_bar and B_bar after discretisation; K kernel.
"""

from longrange.ssm.convolution import causal_convolution, two_sided_convolution
from longrange.ssm.discretize import DISCRETIZATIONS, bilinear, dss_softmax, zoh
from longrange.ssm.dplr import (
    BilinearDPLR,
    DPLRTransition,
    dense_dplr,
    double_length,
    dplr_eigenvalues,
    row_to_complex,
    row_to_real,
    state_to_complex,
    state_to_real,
    truncate,
    untruncate,
)
from longrange.ssm.generating import cauchy_weights, kernel_from_transform, nodes, transform_from_sums
from longrange.ssm.hippo import MEASURES, hippo_n, legs, low_rank, nplr
from longrange.ssm.initial import lecun_normal, log_uniform
from longrange.ssm.spectra import SPECTRA, spectrum
from longrange.ssm.transition import DenseTransition, DiagonalTransition, Transition, run_chunks

__all__ = [
    "DISCRETIZATIONS",
    "MEASURES",
    "SPECTRA",
    "BilinearDPLR",
    "DPLRTransition",
    "DenseTransition",
    "DiagonalTransition",
    "Transition",
    "bilinear",
    "cauchy_weights",
    "causal_convolution",
    "dense_dplr",
    "double_length",
    "dplr_eigenvalues",
    "dss_softmax",
    "hippo_n",
    "kernel_from_transform",
    "lecun_normal",
    "legs",
    "log_uniform",
    "low_rank",
    "nodes",
    "nplr",
    "row_to_complex",
    "row_to_real",
    "run_chunks",
    "spectrum",
    "state_to_complex",
    "state_to_real",
    "transform_from_sums",
    "truncate",
    "two_sided_convolution",
    "untruncate",
    "zoh",
]
