"""What many explanations say together: aggregated, audited, compared."""
