"""S5: one multi-input, multi-output diagonal state-space model per layer, computed by a scan.

    x_k = A_bar x_{k-1} + B_bar u_k,    y_k = gain Re(C x_k) + D u_k

with A_bar = diag of the discretised Lambda and gain 2 where only one of each conjugate pair of states is kept.
Source: S5 (arXiv 2208.04933); initial values as in the authors' code.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from longrange.kernels import (
    add_scaled,
    diagonal_scan,
    diagonal_system,
    linear,
    mimo_scan,
    one_kernel_is_faster,
    scaled_fork,
    zero_padding,
)
from longrange.layers.base import (
    Recurrence,
    SequenceLayer,
    check_input,
    check_rate,
    check_state,
    check_step,
    check_time_steps,
)
from longrange.ssm import DISCRETIZATIONS, hippo_n, lecun_normal, log_uniform

CInit = Literal["trunc_standard_normal", "lecun_normal", "complex_normal"]


class S5(SequenceLayer):
    """The S5 layer, without the activation that follows it in a block.

    Parameters, all real, with p = P / 2 kept states (p = P without conjugate symmetry): Lambda_re, Lambda_im (p,);
    B (p, H, 2); C (H, directions p, 2), forward half first, of two directions if bidirectional; D (H,); log_step (p,).

    Args:
        d_model: H, features in and out.
        d_state: P, the real state size.
        n_blocks: J, blocks of the initial state matrix, each a HiPPO-N matrix of size P / J.
        bidirectional: add a second scan from the end, with a C of its own; the current step is in both.
        C_init: "trunc_standard_normal" (parts of variance 1 / P, in the eigenbasis), "lecun_normal" (variance
            1 / (H P), in the eigenbasis), or "complex_normal" (variance 1/2, drawn as it is).
        discretization: "zoh" or "bilinear".
        dt_min: smallest initial time step.
        dt_max: largest initial time step; steps are drawn log-uniformly, one per state.
        conj_sym: keep one of each conjugate pair of states.
        clip_eigs: hold the real parts of Lambda at or below -1e-4.
    Raises:
        ValueError: sizes that do not divide, or an unknown C_init or discretization.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 256,
        n_blocks: int = 1,
        *,
        bidirectional: bool = False,
        C_init: CInit = "trunc_standard_normal",
        discretization: Literal["zoh", "bilinear"] = "zoh",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        conj_sym: bool = True,
        clip_eigs: bool = False,
    ):
        super().__init__()
        _check_arguments(d_state, n_blocks, C_init, discretization, conj_sym, dt_min, dt_max)
        self.d_model, self.d_output, self.d_state, self.bidirectional = d_model, d_model, d_state, bidirectional
        self.discretization, self.conj_sym, self.clip_eigs = discretization, conj_sym, clip_eigs
        Lambda, V = _block_hippo_n(d_state, n_blocks, conj_sym)
        self.Lambda_re = _parameter(Lambda.real)
        self.Lambda_im = _parameter(Lambda.imag)
        self.log_step = _parameter(log_uniform(len(Lambda), dt_min, dt_max))
        self.B = _parameter(torch.view_as_real(_initial_B(V, d_model)))
        directions = [_initial_C(C_init, V, d_model) for _ in range(1 + bidirectional)]
        self.C = _parameter(torch.view_as_real(torch.cat(directions, dim=1)))
        self.D = _parameter(torch.randn(d_model))

    @torch.compiler.disable
    def forward(self, u: Tensor, lengths: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """See `SequenceLayer.forward`."""
        check_input(u, self.d_model, lengths)
        check_rate(rate)
        if u.dtype != self.D.dtype and not torch.is_autocast_enabled(u.device.type):
            u = u.to(self.D.dtype)
        u = zero_padding(u, lengths)
        return self._recurrence(rate).outputs(u, bidirectional=self.bidirectional)

    def _recurrence(self, rate: float) -> "S5Recurrence":
        gain = 2.0 if self.conj_sym else 1.0
        values = self._real_parts(), self.Lambda_im, self.time_steps(rate), self.B, self.C
        return S5Recurrence(*diagonal_system(self.discretization, *values, gain), self.D)

    def time_steps(self, rate: float = 1.0) -> Tensor:
        """See `SequenceLayer.time_steps`; (p,)."""
        return rate * self.log_step.exp()

    @torch.no_grad()
    def spectral_radius(self, rate: float = 1.0) -> float:
        """See `SequenceLayer.spectral_radius`."""
        return self.discretized(rate)[0].abs().max().item()

    def discretized(self, rate: float = 1.0) -> tuple[Tensor, Tensor]:
        """The discrete system at a time step of `rate` times the learned one.

        Returns:
            A_bar, (p,) complex, and B_bar, (p, H) complex.
        """
        rule = DISCRETIZATIONS[self.discretization]
        A_bar, gain = rule(torch.complex(self._real_parts(), self.Lambda_im), self.time_steps(rate))
        return A_bar, gain.unsqueeze(-1) * torch.view_as_complex(self.B)

    def _real_parts(self) -> Tensor:
        """Those of Lambda, (p,), clipped where asked for."""
        return self.Lambda_re.clamp(max=-1e-4) if self.clip_eigs else self.Lambda_re


class S5Recurrence(Recurrence):
    """S5 with its matrices discretised and in real form; the state is (B, 2, p), real and imaginary parts.

    Args:
        A_bar: (2, p).
        B_bar: (2 p, H).
        C: (H, directions 2 p), with the gain in it.
        D: (H,).
    """

    def __init__(self, A_bar: Tensor, B_bar: Tensor, C: Tensor, D: Tensor):
        self.A_bar, self.B_bar, self.C, self.D = A_bar, B_bar, C, D

    def initial_state(self, batch: int) -> Tensor:
        """(batch, 2, p) zeros."""
        return self.A_bar.new_zeros(batch, *self.A_bar.shape)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Recurrence.step`."""
        check_step(u, len(self.D), state, self.A_bar.shape)
        u = u.to(self.D.dtype)
        Bu = (u @ self.B_bar.T).unflatten(-1, (2, -1))
        re, im = state.unbind(1)
        a_re, a_im = self.A_bar
        state = torch.stack([a_re * re - a_im * im, a_re * im + a_im * re], dim=1) + Bu
        return torch.addcmul(state.flatten(1) @ self.C.T, self.D, u), state

    def prefill(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Recurrence.prefill`."""
        check_input(u, len(self.D))
        check_state(state, u.shape[0], self.A_bar.shape)
        y, x = self.run(u.to(self.D.dtype), state.unsqueeze(1), bidirectional=False)
        return y, x[:, -1, 0].clone()  # not a part of all states, which it would keep in memory

    def outputs(self, u: Tensor, *, bidirectional: bool) -> Tensor:
        """Those of `run` from a state zero."""
        if one_kernel_is_faster(self.A_bar, u):
            return mimo_scan(self.A_bar, self.B_bar, self.C, self.D, u, bidirectional=bidirectional)
        return self.run(u, None, bidirectional=bidirectional)[0]

    def run(self, u: Tensor, initial: Tensor | None, *, bidirectional: bool) -> tuple[Tensor, Tensor]:
        """Outputs C x + D u, (B, L, H), and states x, (B, L, directions, 2, p): two matrix products around the scan."""
        u, skip = scaled_fork(self.D, u)
        Bu = linear(u, self.B_bar).unflatten(-1, (2, -1))
        if initial is not None:
            Bu = Bu.to(initial.dtype)  # states in full precision: one of them will be the next initial one
        x = diagonal_scan(self.A_bar, Bu, initial, bidirectional=bidirectional)
        return add_scaled(linear(x.flatten(2), self.C), skip), x


def _check_arguments(d_state, n_blocks, C_init, discretization, conj_sym, dt_min, dt_max) -> None:
    if C_init not in get_args(CInit):
        raise ValueError(f"C_init={C_init!r}: must be one of {', '.join(get_args(CInit))}")
    if discretization not in DISCRETIZATIONS:
        raise ValueError(f"discretization={discretization!r}: must be one of {', '.join(DISCRETIZATIONS)}")
    if min(n_blocks, d_state) < 1:
        raise ValueError(f"d_state={d_state}, n_blocks={n_blocks}: must be at least 1")
    multiple = n_blocks * (2 if conj_sym else 1)
    if d_state % multiple:
        raise ValueError(f"d_state={d_state}, n_blocks={n_blocks}: d_state must be a multiple of {multiple}")
    check_time_steps(dt_min, dt_max)


def _parameter(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.to(torch.get_default_dtype()).contiguous())


def _block_hippo_n(P: int, J: int, conj_sym: bool) -> tuple[Tensor, Tensor]:
    """Lambda, (p,), and V, (P, p), of J equal HiPPO-N blocks, complex128; half of each block if conj_sym."""
    Lambda, V = hippo_n(P // J)
    kept = len(Lambda) // 2 if conj_sym else len(Lambda)
    return Lambda[:kept].repeat(J), torch.block_diag(*[V[:, :kept]] * J)


def _initial_B(V: Tensor, H: int) -> Tensor:
    """V^* B_0 with B_0 (P, H) real, (p, H) complex128."""
    P = V.shape[0]
    return V.mH @ lecun_normal(P, H, fan_in=P).to(V.dtype)


def _initial_C(init: CInit, V: Tensor, H: int) -> Tensor:
    """C of one direction, (H, p) complex128; see the class for what each init draws."""
    P, p = V.shape
    if init == "complex_normal":
        return torch.randn(H, p, dtype=V.dtype)
    fan_in = P if init == "trunc_standard_normal" else H * P
    return torch.view_as_complex(lecun_normal(H, P, 2, fan_in=fan_in).double()) @ V
