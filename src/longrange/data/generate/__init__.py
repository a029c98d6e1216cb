"""Generators of the synthetic tasks."""
