"""Pure maths of state-space models on tensors: HiPPO, spectra, discretisation, initial values.

Symbols, here and everywhere: B batch, L length, H features, N or P state, J blocks; A, B, C, D, Lambda, Delta or dt;
A_bar and B_bar after discretisation.
"""

from longrange.ssm.discretize import DISCRETIZATIONS, bilinear, zoh
from longrange.ssm.hippo import hippo_n, legs, legs_low_rank
from longrange.ssm.initial import lecun_normal, log_uniform

__all__ = ["DISCRETIZATIONS", "bilinear", "hippo_n", "lecun_normal", "legs", "legs_low_rank", "log_uniform", "zoh"]
