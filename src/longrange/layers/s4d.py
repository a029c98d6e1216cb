"""S4D: S4 with a diagonal state matrix, its kernel a Vandermonde product.

    K_l = 2 Re sum_n C_n B_bar_n A_bar_n^l

Source: S4D (arXiv 2206.11893); the "dss" discretisation is that of DSS (arXiv 2203.14343).
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from longrange.kernels import parts, vandermonde
from longrange.layers.base import full_precision
from longrange.layers.recurrence import FeatureRecurrence
from longrange.layers.spectral import DtTransform, SpectralLayer
from longrange.ssm import DISCRETIZATIONS, DiagonalTransition, dss_softmax, row_to_real, spectrum, state_to_real

Rule = Literal["zoh", "bilinear", "dss"]


class S4D(SpectralLayer):
    """The S4D layer, without the activation that follows it in a block.

    Args:
        d_model: H, features in.
        d_state: N, the real state size, even.
        l_max: the longest sequence, which the "dss" rule needs; None: to be given by `attune` before use.
        init: the initial poles: "lin", "inv", "legs", "real" or "random".
        discretization: "zoh", "bilinear", or "dss": every state's response is normalised over l_max steps.
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
        init: str = "legs",
        discretization: Rule = "zoh",
        n_ssm: int | None = 1,
        channels: int = 1,
        bidirectional: bool = False,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_transform: DtTransform = "softplus",
    ):
        if discretization not in get_args(Rule):
            raise ValueError(f"discretization={discretization!r}: must be one of {', '.join(get_args(Rule))}")
        super().__init__(
            d_model,
            *spectrum(init, d_state),
            n_ssm=n_ssm,
            channels=channels,
            bidirectional=bidirectional,
            dt_min=dt_min,
            dt_max=dt_max,
            dt_transform=dt_transform,
        )
        self.discretization = discretization
        if l_max is not None:
            self.attune(l_max)

    @full_precision
    def kernel(self, length: int, rate: float = 1.0) -> Tensor:
        """See `ConvolutionLayer.kernel`."""
        A_bar, B_bar = self.discretized(rate)
        return vandermonde(parts(self.output_weights() * B_bar).movedim(0, 1), parts(A_bar), length)

    def discretized(self, rate: float = 1.0) -> tuple[Tensor, Tensor]:
        """A_bar and B_bar, each (H, N/2) complex."""
        poles, dt = self.poles(), self.time_steps(rate)
        if self.discretization == "dss":
            A_bar, gain = dss_softmax(poles, dt, self.length.at(rate))
        else:
            A_bar, gain = DISCRETIZATIONS[self.discretization](poles, dt)
        return A_bar, gain * self.input_weights()

    @torch.no_grad()
    def spectral_radius(self, rate: float = 1.0) -> float:
        """See `SequenceLayer.spectral_radius`."""
        return self.discretized(rate)[0].abs().max().item()

    def _recurrence(self, rate: float) -> FeatureRecurrence:
        A_bar, B_bar = self.discretized(rate)
        C = row_to_real(self.output_weights())
        return FeatureRecurrence(DiagonalTransition(parts(A_bar)), state_to_real(B_bar), C, self.D)
