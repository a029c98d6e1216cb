"""Whole models: encoder, stack of residual blocks around a sequence layer, pooling, head."""

from longrange.models.block import ResidualBlock
from longrange.models.classifier import SequenceClassifier
from longrange.models.encoder import Encoder
from longrange.models.spec import TaskSpec
from longrange.models.step_program import StepProgram
from longrange.models.stream import Stream, StreamState

__all__ = ["Encoder", "ResidualBlock", "SequenceClassifier", "StepProgram", "Stream", "StreamState", "TaskSpec"]
