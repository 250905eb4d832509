"""Songs and lyrics from files: decoded, resampled, parsed, with what could not be read said."""
