"""What one short run on a GPU settles: a part a file, run in order of worth by `suite`."""
