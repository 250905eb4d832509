"""Many songs, and training runs that are watched."""
