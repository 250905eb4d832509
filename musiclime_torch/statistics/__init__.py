"""Estimates with their errors from masks and outputs: tensors only, no audio."""
