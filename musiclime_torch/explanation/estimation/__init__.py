"""A model watched on designs of masks, and its coefficients estimated: one module a kind of design."""
