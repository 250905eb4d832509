"""Explains what music models hear and read: LIME over stems, moments and words, batched in PyTorch."""
