"""What things cost: a training step and its parts, layers, loaders, several processes, beside published code."""
