"""Published implementations of our models, in processes that run one training step each time they are asked."""
