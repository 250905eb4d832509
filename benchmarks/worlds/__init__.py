"""Songs and models whose answer is known."""
