"""Sound from files: decoded, resampled, and told from what was cut short."""
