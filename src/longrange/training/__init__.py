"""Training: optimiser groups, schedules, the Lightning module, checkpoints and resuming, evaluation."""

from longrange.training.evaluate import evaluate
from longrange.training.export import load_model
from longrange.training.outcome import Outcome
from longrange.training.train import train

__all__ = ["Outcome", "evaluate", "load_model", "train"]
