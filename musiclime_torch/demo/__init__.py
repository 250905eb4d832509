"""Songs with known causes, a small model trained on them, and one such song to explain offline."""
