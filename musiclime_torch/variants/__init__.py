"""What is switched on and off, how it is rendered, and how the model is asked about it."""
