"""What belongs to training a model: for now, watching what it listens to meanwhile."""
