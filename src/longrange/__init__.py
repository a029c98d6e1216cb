"""Structured state-space models on the Long Range Arena: layers, kernels, data, training, results."""

__version__ = "0.1.0"
