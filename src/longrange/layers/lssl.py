"""LSSL: the linear state-space layer, a dense state matrix shared by all features, each with its own time step.

    K_l = C A_bar^l B_bar

Source: LSSL (arXiv 2110.13985), sections 3 and 4, with a state matrix that stays stable in training.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from longrange.layers.base import check_time_steps, full_precision
from longrange.layers.convolution import ConvolutionLayer
from longrange.layers.recurrence import FeatureRecurrence
from longrange.ssm import MEASURES, log_uniform
from longrange.ssm.dense import gbt, gbt_eigenvalues
from longrange.ssm.structured import legs_structure, structured
from longrange.ssm.transition import DenseTransition, KernelTable, krylov_kernel


class LSSL(ConvolutionLayer):
    """The LSSL layer, without the activation and the linear map that follow it in a block.

    Parameters, all real: C (M, H, N), D (M, H), and if trainable log_dt (H,), B (N,) and `structure`, the values that
    make the state matrix (see `longrange.ssm.structured`). Else log_dt, A (N, N) and B are buffers (LSSL-fixed).

    Args:
        d_model: H, features in.
        d_state: N, the state size.
        channels: M, outputs per feature; the layer's output has M H features.
        trainable: learn the state matrix, B and the time steps.
        measure: "legs"; if not trainable also "legt", "fourier" or "lagt".
        alpha: of the generalised bilinear transform: 1/2 bilinear, 1 backward Euler. Kernels stay bounded for alpha of
            at least 1/2, whatever is learned.
        dt_min: smallest initial time step.
        dt_max: largest initial time step; drawn log-uniformly, one per feature.
    Raises:
        ValueError: values out of range.
    """

    bidirectional = False
    A: Tensor
    B: Tensor
    log_dt: Tensor

    def __init__(
        self,
        d_model: int,
        d_state: int = 128,
        *,
        channels: int = 1,
        trainable: bool = True,
        measure: str = "legs",
        alpha: float = 0.5,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
    ):
        super().__init__()
        _check_arguments(d_state, channels, trainable, measure, alpha, dt_min, dt_max)
        self.d_model, self.d_state, self.channels, self.d_output = d_model, d_state, channels, channels * d_model
        self.trainable, self.alpha = trainable, alpha
        A, B = MEASURES[measure](d_state)
        log_dt = log_uniform(d_model, dt_min, dt_max)
        if trainable:
            self.structure = nn.ParameterDict({k: _default(v) for k, v in legs_structure(d_state).items()})
            self.B, self.log_dt = nn.Parameter(_default(B)), nn.Parameter(log_dt)
        else:
            for name, value in {"A": A, "B": B, "log_dt": log_dt}.items():
                self.register_buffer(name, _default(value))
        self.C = nn.Parameter(torch.randn(channels, d_model, d_state))
        self.D = nn.Parameter(torch.randn(channels, d_model))
        self._fixed = _FixedSystems()

    @full_precision
    def kernel(self, length: int, rate: float = 1.0) -> Tensor:
        """See `ConvolutionLayer.kernel`."""
        if self.trainable:
            A_bar, B_bar = self.discretized(rate)
            return krylov_kernel(DenseTransition(A_bar), B_bar, self.C, length)
        return self._fixed_system(rate).table.kernel(self.C, length)

    def time_steps(self, rate: float = 1.0) -> Tensor:
        """See `SequenceLayer.time_steps`; (H,)."""
        return rate * self.log_dt.exp()

    @torch.no_grad()
    def spectral_radius(self, rate: float = 1.0) -> float:
        """See `SequenceLayer.spectral_radius`; the eigenvalues are those of A, which all features share."""
        values = {name: value.double() for name, value in self.structure.items()} if self.trainable else {}
        A = -structured(values) if values else self.A.double()
        Lambda = torch.linalg.eigvals(A.cpu())
        dt = self.time_steps(rate).double().cpu().unsqueeze(-1)
        return gbt_eigenvalues(Lambda, dt, self.alpha).abs().max().item()

    def discretized(self, rate: float = 1.0) -> tuple[Tensor, Tensor]:
        """A_bar, (H, N, N), and B_bar, (H, N)."""
        if not self.trainable:
            system = self._fixed_system(rate)
            return system.A_bar, system.B_bar
        return gbt(-structured(dict(self.structure.items())), self.B, self.time_steps(rate), self.alpha)

    def _recurrence(self, rate: float) -> FeatureRecurrence:
        A_bar, B_bar = self.discretized(rate)
        return FeatureRecurrence(DenseTransition(A_bar), B_bar, self.C, self.D)

    def _fixed_system(self, rate: float) -> "_FixedSystem":
        return self._fixed.at(rate, self.alpha, self.A, self.B, self.log_dt)


class _FixedSystem(NamedTuple):
    A_bar: Tensor
    B_bar: Tensor
    table: KernelTable


class _FixedSystems:
    """Discretised systems of the last rates asked for; none outlives a change of the tensors it was made from."""

    limit = 2

    def __init__(self) -> None:
        self._made_from: list[tuple[Tensor, int]] = []
        self._systems: dict[tuple[float, float], _FixedSystem] = {}

    def __reduce__(self) -> tuple:
        """A copy starts empty."""
        return _FixedSystems, ()

    def at(self, rate: float, alpha: float, *tensors: Tensor) -> _FixedSystem:
        """The system of tensors A, B and log_dt."""
        if any(t.is_inference() for t in tensors):  # nothing counts their changes
            return _fixed_system(rate, alpha, *tensors)
        if not self._are_current(tensors):
            self._made_from = [(t, t._version) for t in tensors]
            self._systems.clear()
        if (rate, alpha) not in self._systems:
            if len(self._systems) == self.limit:
                del self._systems[next(iter(self._systems))]
            self._systems[rate, alpha] = _fixed_system(rate, alpha, *tensors)
        return self._systems[rate, alpha]

    def _are_current(self, tensors: tuple[Tensor, ...]) -> bool:
        known = zip(tensors, self._made_from, strict=False)
        return bool(self._made_from) and all(t is old and t._version == count for t, (old, count) in known)


def _fixed_system(rate: float, alpha: float, A: Tensor, B: Tensor, log_dt: Tensor) -> _FixedSystem:
    """Made outside of inference mode, whose tensors could not be used in training later."""
    with torch.inference_mode(False), torch.no_grad():
        A_bar, B_bar = gbt(A, B, rate * log_dt.exp(), alpha)
        # As many columns as states: the table is not larger than two state matrices, and the rows are few.
        table = KernelTable.of(DenseTransition(A_bar), B_bar, (len(A) - 1).bit_length())
        return _FixedSystem(A_bar, B_bar, table)


def _default(value: Tensor) -> Tensor:
    return value.to(torch.get_default_dtype())


def _check_arguments(d_state, channels, trainable, measure, alpha, dt_min, dt_max) -> None:
    if d_state < 1 or channels < 1:
        raise ValueError(f"d_state={d_state}, channels={channels}: must be at least 1")
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}: must be one of {', '.join(MEASURES)}")
    if trainable and measure != "legs":
        raise ValueError(f"measure={measure!r}: only 'legs' can be trained; give trainable=False for the others")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha}: must be between 0 and 1")
    check_time_steps(dt_min, dt_max)
