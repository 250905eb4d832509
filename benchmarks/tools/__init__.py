"""How things are run, timed, scored, and compared."""
