"""What S4 and S4D share: the parameters of a spectrum with negative real parts, and of the time steps."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longrange.layers.base import check_time_steps
from longrange.layers.convolution import ConvolutionLayer
from longrange.ssm import log_uniform

DtTransform = Literal["softplus", "exp"]


class SpectralLayer(ConvolutionLayer):
    """One system per feature with poles Lambda = -exp(A_real) - i A_imag, one of each conjugate pair.

    Parameters, all real, with S copies of the dynamics, feature h taking copy h mod S: inv_dt (H,), A_real and A_imag
    (S, N/2), B (S, N/2, 2), C (directions M, H, N/2, 2), D (M, H). The time step is softplus(inv_dt) or exp(inv_dt).

    Args:
        d_model: H.
        Lambda: initial poles, (N/2,) complex, real parts at most 0, imaginary parts at most 0.
        B: initial input weights, (N/2,) complex.
        n_ssm: S, a divisor of H; H where None.
        channels: M, outputs per feature.
        bidirectional: a second set of C for a kernel that looks ahead.
        dt_min: smallest initial time step.
        dt_max: largest initial time step; drawn log-uniformly, one per feature.
        dt_transform: "softplus" or "exp".
    Raises:
        ValueError: sizes that do not divide, or values out of range.
    """

    def __init__(
        self,
        d_model: int,
        Lambda: Tensor,
        B: Tensor,
        *,
        n_ssm: int | None,
        channels: int,
        bidirectional: bool,
        dt_min: float,
        dt_max: float,
        dt_transform: DtTransform,
    ):
        super().__init__()
        S = d_model if n_ssm is None else n_ssm
        _check_arguments(d_model, S, channels, dt_min, dt_max, dt_transform)
        self.d_model, self.d_state, self.channels = d_model, 2 * len(Lambda), channels
        self.d_output, self.bidirectional, self.dt_transform = channels * d_model, bidirectional, dt_transform
        log_dt = log_uniform(d_model, dt_min, dt_max)
        self.inv_dt = nn.Parameter(log_dt if dt_transform == "exp" else _inverse_softplus(log_dt.exp()))
        self.A_real = _copies(S, Lambda.real.neg().clamp(min=1e-4).log())
        self.A_imag = _copies(S, -Lambda.imag)
        self.B = _copies(S, torch.view_as_real(B))
        self.C = nn.Parameter(torch.randn(self.directions * channels, d_model, len(Lambda), 2) / math.sqrt(2))
        self.D = nn.Parameter(torch.randn(channels, d_model))
        self.length = AttunedLength()

    def attune(self, max_length: int) -> None:
        """See `SequenceLayer.attune`."""
        self.length.set(max_length)

    def time_steps(self, rate: float = 1.0) -> Tensor:
        """See `SequenceLayer.time_steps`; (H, 1)."""
        dt = self.inv_dt.exp() if self.dt_transform == "exp" else F.softplus(self.inv_dt)
        return rate * dt.unsqueeze(-1)

    def poles(self) -> Tensor:
        """Lambda, (H, N/2) complex."""
        return self._over_features(self._own_poles())

    def _own_poles(self) -> Tensor:
        """Lambda of each copy of the dynamics, (S, N/2) complex."""
        return torch.complex(-self.A_real.exp(), -self.A_imag)

    def input_weights(self) -> Tensor:
        """B, (H, N/2) complex."""
        return self._over_features(torch.view_as_complex(self.B))

    def output_weights(self) -> Tensor:
        """C as stored, (directions M, H, N/2) complex."""
        return torch.view_as_complex(self.C)

    def _over_features(self, x: Tensor) -> Tensor:
        """(..., S, N/2) to (..., H, N/2)."""
        return x.repeat(*[1] * (x.dim() - 2), self.d_model // x.shape[-2], 1)


class AttunedLength(nn.Module):
    """The number of steps that a layer's parameters are made for; part of its state, 0 until it is set."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(0))
        self.value = 0  # of the buffer, to be read without waiting for a GPU
        self.register_load_state_dict_post_hook(_read_length)

    def set(self, steps: int) -> None:
        """Fix the length.

        Raises:
            ValueError: a number below 1.
        """
        if steps < 1:
            raise ValueError(f"longest sequence of length {steps}: must be at least 1")
        self.steps.fill_(steps)
        self.value = steps

    def at(self, rate: float) -> int:
        """The length in steps of `rate` times the learned one, at least 1.

        Raises:
            ValueError: it has not been set.
        """
        if not self.value:
            raise ValueError(
                "the layer does not know its longest sequence; build it with l_max=<steps> or call attune(<steps>)"
            )
        return max(1, round(self.value / rate))


def _read_length(module: AttunedLength, _: object) -> None:
    """After a state has been loaded; a function of the module, so that layers can be pickled."""
    module.value = int(module.steps)


def _check_arguments(d_model, S, channels, dt_min, dt_max, dt_transform) -> None:
    if S < 1 or d_model % S:
        raise ValueError(f"n_ssm={S}: must divide d_model={d_model}")
    if channels < 1:
        raise ValueError(f"channels={channels}: must be at least 1")
    check_time_steps(dt_min, dt_max)
    if dt_transform not in get_args(DtTransform):
        raise ValueError(f"dt_transform={dt_transform!r}: must be one of {', '.join(get_args(DtTransform))}")


def _copies(S: int, value: Tensor) -> nn.Parameter:
    """S copies of a value, in the default dtype."""
    return nn.Parameter(value.to(torch.get_default_dtype()).expand(S, *value.shape).clone())


def _inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))
