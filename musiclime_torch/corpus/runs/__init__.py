"""Many songs explained: a job in shards, here, in several processes or on Ray."""
