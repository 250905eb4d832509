"""An explanation for other tools: labels, annotations, tables, sounds, and Captum's records."""
