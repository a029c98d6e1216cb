"""Sequence layers: modules that own the parameters of one state-space model and map (B, L, H) to (B, L, H)."""

from longrange.layers.base import SequenceLayer
from longrange.layers.s5 import S5

__all__ = ["S5", "SequenceLayer"]
