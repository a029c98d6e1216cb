"""What S4, S4D and LSSL share: a state-space system of one input and M outputs for each feature, run as a convolution.

    y_t = sum_j K_j u_{t-j} + D u_t

and, where bidirectional, sum_j K'_j u_{t+1+j} besides, with a C of its own: the second part starts at the next step.
The input is a sequence, the kernel as long as it is, and the products are taken in the frequency domain. On a CPU,
systems of few states run through time instead, which is the same and faster.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from longrange.kernels import causal_convolution, scan_is_faster, two_sided_convolution, zero_padding
from longrange.layers.base import SequenceLayer, check_input, check_rate
from longrange.layers.recurrence import FeatureRecurrence


class ConvolutionLayer(SequenceLayer):
    """A layer whose features are convolved each with kernels of its own.

    Attributes:
        channels: M, outputs per feature.
        D: (M, H), the weight of the current input.
        d_state: N, the real state size.
    """

    channels: int
    d_state: int
    D: nn.Parameter

    @property
    def directions(self) -> int:
        """2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @abstractmethod
    def kernel(self, length: int, rate: float = 1.0) -> Tensor:
        """The convolution kernels without D.

        Args:
            length: L, steps.
            rate: factor on the time step.
        Returns:
            (directions M, H, L) float; those of the forward direction first.
        """

    @torch.compiler.disable
    def forward(self, u: Tensor, lengths: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """See `SequenceLayer.forward`; kernels and transforms keep the parameters' precision under autocast."""
        check_input(u, self.d_model, lengths)
        check_rate(rate)
        u = zero_padding(u, lengths)
        with torch.autocast(u.device.type, enabled=False):
            if scan_is_faster(u, self.d_state):
                return self._recurrence(rate).scan(u, self.bidirectional).flatten(2)
            return self._convolve(u, rate).flatten(2)

    def _convolve(self, u: Tensor, rate: float) -> Tensor:
        """(B, L, M, H)."""
        forwards, *backwards = self.kernel(u.shape[1], rate).unflatten(0, (self.directions, -1))
        if backwards:
            return two_sided_convolution(u, forwards, backwards[0], self.D)
        return causal_convolution(u, forwards, self.D)

    @abstractmethod
    def _recurrence(self, rate: float) -> FeatureRecurrence:
        """See `SequenceLayer._recurrence`."""
