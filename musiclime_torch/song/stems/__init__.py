"""A song taken apart: stems from files or from a separator, and the residual."""
