"""What everything stands on: errors, checks of arguments, files, progress bars."""
