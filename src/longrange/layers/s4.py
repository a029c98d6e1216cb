"""S4: one single-input state-space system per feature, its state matrix diagonal plus low-rank.

The kernel comes from a truncated generating function at the roots of unity, in O(N + L) memory and
O(N L) simple operations: Cauchy products, the Woodbury identity, one inverse transform. Source: S4 (arXiv 2111.00396),
section 3, with the P P^* form of SaShiMi (arXiv 2202.09729), which keeps the spectrum in the left half-plane.
"""

import torch
from torch import Tensor, nn

from longrange.kernels import dplr_kernel, scan_is_faster, truncated_system
from longrange.layers.base import full_precision
from longrange.layers.recurrence import FeatureRecurrence
from longrange.layers.spectral import DtTransform, SpectralLayer
from longrange.ssm import (
    BilinearDPLR,
    DenseTransition,
    DPLRTransition,
    bilinear,
    dense_dplr,
    double_length,
    dplr_eigenvalues,
    nplr,
    row_to_complex,
    row_to_real,
    state_to_real,
    truncate,
    untruncate,
)

_MEASURES = "legs", "legt", "fourier"  # whose matrices are normal but for a low rank


class S4(SpectralLayer):
    """The S4 layer, without the activation that follows it in a block.

    Parameters: those of `SpectralLayer` and P (R, S, N/2, 2). C is stored truncated, C (I - A_bar^L), for the length L
    that the layer is attuned to; shorter kernels are cut from that one, longer ones cost dense powers of A_bar.

    Args:
        d_model: H, features in.
        d_state: N, the real state size, even.
        l_max: L, the longest sequence; None: to be given by `attune` before use.
        measure: of the initial HiPPO matrix: "legs", "legt" or "fourier".
        rank: R, of the low-rank part; "legt" needs 2.
        n_ssm: S, copies of the dynamics; None: one per feature.
        channels: M, outputs per feature; the layer's output has M H features.
        bidirectional: a two-sided kernel.
        dt_min: smallest initial time step.
        dt_max: largest initial time step.
        dt_transform: "softplus" or "exp".
    Raises:
        ValueError: sizes that do not divide, or values out of range.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        *,
        l_max: int | None = None,
        measure: str = "legs",
        rank: int = 1,
        n_ssm: int | None = 1,
        channels: int = 1,
        bidirectional: bool = False,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_transform: DtTransform = "softplus",
    ):
        if measure not in _MEASURES:
            raise ValueError(f"measure={measure!r}: must be one of {', '.join(_MEASURES)}")
        Lambda, P, B, _ = nplr(measure, d_state, rank)
        super().__init__(
            d_model,
            Lambda,
            B,
            n_ssm=n_ssm,
            channels=channels,
            bidirectional=bidirectional,
            dt_min=dt_min,
            dt_max=dt_max,
            dt_transform=dt_transform,
        )
        S = self.B.shape[0]
        self.P = nn.Parameter(torch.view_as_real(P).to(self.B.dtype).unsqueeze(1).repeat(1, S, 1, 1))
        if l_max is not None:
            self.attune(l_max)

    @torch.no_grad()
    def attune(self, max_length: int) -> None:
        """Store C truncated to max_length; the system itself stays as it is."""
        A_bar = self._system(1.0, torch.float64).dense()
        C = row_to_real(self.output_weights()).double()
        if self.length.value:
            C = untruncate(C, A_bar, self.length.value)
        super().attune(max_length)
        self.C.copy_(torch.view_as_real(row_to_complex(truncate(C, A_bar, max_length))))

    @full_precision
    def kernel(self, length: int, rate: float = 1.0) -> Tensor:
        """See `ConvolutionLayer.kernel`."""
        L, C = self._tuned_to(length, rate)
        dt = self.time_steps(rate).squeeze(-1)
        return dplr_kernel(self.input_weights(), C, self._low_rank(), self.poles(), dt, L)[..., :length]

    @torch.no_grad()
    def spectral_radius(self, rate: float = 1.0) -> float:
        """See `SequenceLayer.spectral_radius`; the eigenvalues are those of A, of which there are S."""
        Lambda = dplr_eigenvalues(*self._own_dynamics())
        dt = self.time_steps(rate).double().cpu().unflatten(0, (-1, len(Lambda)))
        return bilinear(Lambda, dt)[0].abs().max().item()

    def _recurrence(self, rate: float) -> FeatureRecurrence:
        if scan_is_faster(self.D, self.d_state):
            return self._dense_recurrence(rate)
        system = self._system(rate)
        # (I - A_bar^L) is close to singular for slow systems: single precision would lose C.
        A_bar = self._system(rate, torch.float64).dense()
        C = untruncate(row_to_real(self.output_weights()).double(), A_bar, self.length.at(rate))
        B_bar = state_to_real(system.input(self.input_weights()))
        return FeatureRecurrence(DPLRTransition(system), B_bar, C.to(self.D.dtype), self.D)

    def _dense_recurrence(self, rate: float) -> FeatureRecurrence:
        """As `_recurrence`, for states so few that dense products with A_bar cost least."""
        A = dense_dplr(*self._own_dynamics())
        B, C = state_to_real(self.input_weights()), row_to_real(self.output_weights())
        dt, L = self.time_steps(rate).squeeze(-1), self.length.at(rate)
        A_bar, B_bar, C = truncated_system(A.repeat(self.d_model // len(A), 1, 1), B, C, dt, L)
        return FeatureRecurrence(DenseTransition(A_bar), B_bar, C, self.D)

    def _tuned_to(self, length: int, rate: float) -> tuple[int, Tensor]:
        """A length that holds `length` steps, and C truncated to it."""
        L, C = self.length.at(rate), self.output_weights()
        while length > L:
            C = row_to_complex(double_length(row_to_real(C), self._system(rate).dense(), L))
            L = 2 * L
        return L, C

    def _own_dynamics(self) -> tuple[Tensor, Tensor]:
        """Lambda, (S, N/2), and P, (R, S, N/2), of each copy, complex128."""
        return self._own_poles().to(torch.complex128), torch.view_as_complex(self.P).to(torch.complex128)

    def _low_rank(self) -> Tensor:
        """P, (R, H, N/2) complex."""
        return self._over_features(torch.view_as_complex(self.P))

    def _system(self, rate: float, dtype: torch.dtype | None = None) -> BilinearDPLR:
        """The discrete system, in another precision if one is given."""
        dt = self.time_steps(rate).squeeze(-1).to(dtype)
        exact = dt.dtype.to_complex()
        return BilinearDPLR(self.poles().to(exact), self._low_rank().to(exact), dt)
