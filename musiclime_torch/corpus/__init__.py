"""A catalogue explained song by song, in shards, and what all its explanations say together."""
