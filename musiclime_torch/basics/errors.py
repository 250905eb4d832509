"""The one error a user is meant to read: a sentence that quotes the value and names the way out."""


class InputError(ValueError):
    """The input can't be explained; the message is one sentence fit for a terminal, and the CLI exits with 2."""
