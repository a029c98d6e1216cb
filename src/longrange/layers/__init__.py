"""Sequence layers: modules that own the parameters of one state-space model and map (B, L, H) to (B, L, d_output)."""

from longrange.layers.base import Recurrence, SequenceLayer
from longrange.layers.lssl import LSSL
from longrange.layers.s4 import S4
from longrange.layers.s4d import S4D
from longrange.layers.s5 import S5

__all__ = ["LSSL", "S4", "S4D", "S5", "Recurrence", "SequenceLayer"]
