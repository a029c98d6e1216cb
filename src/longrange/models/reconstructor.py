"""A classifier's encoder and blocks with another head: one that says, step by step, what the inputs are."""

import torch
from torch import Tensor, nn

from longrange.models.classifier import SequenceClassifier
from longrange.models.dense import Dense
from longrange.models.recompute import through


class Reconstructor(nn.Module):
    """Predicts single steps of sequences from the features that a classifier has at them.

    Encoder, blocks and final norm are the classifier's own modules under their own names: what is learnt here the
    classifier knows, and optimiser rules fit both. The classifier's head has no part in it.

    Args:
        model: the classifier.
        hides: hide the steps that are predicted: the blocks get one learned vector in place of their features.
    """

    def __init__(self, model: SequenceClassifier, *, hides: bool):
        super().__init__()
        self.encoder, self.blocks, self.final_norm = model.encoder, model.blocks, model.final_norm
        self.recompute = model.recompute
        self.head = Dense(model.d_model, model.spec.input_size)
        self.hidden = nn.Parameter(torch.zeros(model.d_model)) if hides else None

    def forward(self, inputs: Tensor, lengths: Tensor | None, at: Tensor) -> Tensor:
        """Predictions at some of the steps; the head sees these n steps alone, which spares memory.

        Args:
            inputs: (B, L) int64 ids or (B, L, C) float.
            lengths: valid steps, (B,) int64; None where every step is valid.
            at: where to predict, (B, L) bool, valid steps only.
        Returns:
            (n, input_size) float, sequence by sequence: logits of the ids, or values of the channels.
        """
        x = self.encoder(inputs, lengths)
        if self.hidden is not None:
            x = torch.where(at.unsqueeze(-1), self.hidden.to(x.dtype), x)
        x = through(self.blocks, x, lengths, recompute=self.recompute)
        return self.head(self.final_norm(x, lengths)[at])
