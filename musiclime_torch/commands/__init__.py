"""The command line and the app: the only room that knows options and the names people type."""
