"""Processes that run one training step each time they are asked: of our model, or of the same model as published."""
