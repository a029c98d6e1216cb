"""The contract of every sequence layer.

forward == prefill of any chunks == repeated step, in outputs and gradients. What stands beyond a sequence's length
changes nothing within it.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class SequenceLayer(nn.Module, ABC):
    """Maps a sequence (B, L, H) to a sequence (B, L, H), in parallel or step by step.

    Attributes:
        d_model: H, the number of features.
        bidirectional: the output at a step depends on later steps too; then there is no recurrent mode.
    """

    d_model: int
    bidirectional: bool

    @abstractmethod
    def forward(self, u: Tensor, lengths: Tensor | None = None, rate: float = 1.0) -> Tensor:
        """Whole sequences, in parallel over time.

        Args:
            u: (B, L, H) float.
            lengths: valid steps of each sequence, (B,) int64; all L where None.
            rate: factor on the time step; 2.0 runs a model on data of half its training sample rate.
        Returns:
            (B, L, H) float; zero-input response of the layer beyond `lengths`, to be ignored.
        """

    @abstractmethod
    def initial_state(self, batch: int) -> Tensor:
        """The state before the first step, for `batch` sequences; real, batch first."""

    @abstractmethod
    def prefill(self, u: Tensor, state: Tensor, rate: float = 1.0) -> tuple[Tensor, Tensor]:
        """A chunk of each sequence, in parallel, from a state to the state after the chunk.

        Args:
            u: (B, L, H) float.
            state: as from `initial_state`, `prefill` or `step`.
            rate: as in `forward`.
        Returns:
            Outputs (B, L, H) and the state after step L.
        Raises:
            ValueError: the layer is bidirectional.
        """

    def step(self, u: Tensor, state: Tensor, rate: float = 1.0) -> tuple[Tensor, Tensor]:
        """One time step, at a cost that does not depend on how many came before.

        Args:
            u: (B, H) float.
            state: as from `initial_state`, `prefill` or `step`.
            rate: as in `forward`.
        Returns:
            Output (B, H) and the state after this step.
        Raises:
            ValueError: the layer is bidirectional.
        """
        y, state = self.prefill(u.unsqueeze(1), state, rate)
        return y.squeeze(1), state

    def _refuse_if_bidirectional(self) -> None:
        if self.bidirectional:
            raise ValueError(
                f"{type(self).__name__}: a bidirectional layer needs the whole sequence; "
                "build it with bidirectional=False to use initial_state, prefill and step"
            )
