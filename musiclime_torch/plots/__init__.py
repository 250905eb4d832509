"""Figures, drawn with matplotlib on axes of one's own or new ones."""
