"""The hot loops: of each one reference, one CPU and, later, one GPU version, behind one switch."""

from longrange.kernels.linear import linear
from longrange.kernels.scan import diagonal_scan

__all__ = ["diagonal_scan", "linear"]
