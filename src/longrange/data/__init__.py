"""Tasks: one module each, and the pieces they share."""
