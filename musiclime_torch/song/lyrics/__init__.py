"""Lyrics from files and tags: words, lines and sections, with times where there are any."""
