"""The library names arguments, the command line its options."""

import pytest
from click.testing import CliRunner

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.refusals import name_flag, say_error
from musiclime_torch.explanation.settings import SETTINGS


def test_every_setting_is_an_option_of_explain():
    options = {option for parameter in cli.commands["explain"].params for option in parameter.opts}
    assert {name_flag(name) for name in SETTINGS} <= options
    assert name_flag("max_seconds") in options


@pytest.mark.parametrize(
    ("message", "argument", "said"),
    [
        ("n_samples must be at least 1, got 0.", "n_samples", "--n-samples must be at least 1, got 0."),
        ("seed must be a number, got 'seeds'.", "seed", "--seed must be a number, got 'seeds'."),
        ("give load_track(path) a name.", None, "give load_track(path) a name."),
    ],
)
def test_a_sentence_names_the_option_in_the_place_of_its_argument(message: str, argument: str | None, said: str):
    assert say_error(InputError(message, argument=argument)) == said


def test_the_command_line_speaks_of_options_alone():
    done = CliRunner().invoke(cli, ["demo", "--batch-size", "0"])
    assert isinstance(done.exception, InputError)
    assert say_error(done.exception) == "--batch-size must be at least 1, got 0."
