"""Searching for hyperparameters: Optuna proposes, `longrange.training` trains, the study remembers."""
