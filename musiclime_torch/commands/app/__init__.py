"""`musiclime app`: a song and its lyrics in, an explanation that sharpens, and its report, in a browser."""
