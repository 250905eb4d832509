"""Shapley values of the components: exactly, from sampled coalitions of all of them, or from two sides crossed."""
