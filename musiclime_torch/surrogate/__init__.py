"""What masks are made of: sign matrices, the terms they cancel, weights by distance."""
