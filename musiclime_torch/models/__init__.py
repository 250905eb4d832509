"""What a model may offer beside being callable, and how the pipeline finds out."""
