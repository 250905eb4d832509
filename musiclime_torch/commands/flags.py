"""Arguments of the library as options of the command line: one place says what each is called here."""

import re

from musiclime_torch.basics.errors import InputError

#: Options that aren't called as their argument is.
_OTHERWISE = {"max_seconds": "--max-duration", "path": "--out"}


def name_flag(argument: str) -> str:
    """The option for an argument.

    >>> name_flag("n_samples"), name_flag("max_seconds")
    ('--n-samples', '--max-duration')
    """
    return _OTHERWISE.get(argument, "--" + argument.replace("_", "-"))


def say_error(error: InputError) -> str:
    """What went wrong, with the option's name where the library's sentence has the argument's.

    >>> say_error(InputError("n_samples must be at least 1, got 0.", argument="n_samples"))
    '--n-samples must be at least 1, got 0.'
    """
    if error.argument is None:
        return str(error)
    return re.sub(rf"\b{re.escape(error.argument)}\b(?!\()", name_flag(error.argument), str(error))
