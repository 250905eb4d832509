"""explain(): a model asked about a song, and the value that comes of it."""
