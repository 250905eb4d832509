"""Help by question: each option stands under one, and what the examples say is understood."""

import shlex

import click
import pytest
from click.testing import CliRunner

from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.help import QUESTIONS, Grouped, group_options

COMMANDS = sorted(cli.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_understood(name: str):
    """Parsed as the command line would be, and not run: an option that is renamed turns this red."""
    command = cli.commands[name]
    assert isinstance(command, Grouped)
    assert len(command.examples) == 2
    for example in command.examples:
        words = shlex.split(example)
        after = words[words.index(name) + 1 :]
        assert words[0] in ("musiclime", "torchrun")
        command.make_context(name, after)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_stand_at_the_top_on_one_line_each(name: str):
    shown = CliRunner().invoke(cli, [name, "--help"], terminal_width=80).output
    for example in cli.commands[name].examples:
        assert f"\n  {example}\n" in shown
        assert shown.index(example) < shown.index("--help ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_under_one_question(name: str):
    command = cli.commands[name]
    context = click.Context(command)
    groups = group_options(command, context)
    listed = [option.opts[-1] for options in groups.values() for option in options]
    options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    assert sorted(listed) == sorted(option.opts[-1] for option in options if not option.hidden)
    # --help alone answers none.
    assert [option.opts[-1] for option in groups["Other"]] == ["--help"]


def test_no_question_lists_an_option_that_no_command_has():
    had = {param.opts[-1] for command in cli.commands.values() for param in command.params}
    assert {flag for flags in QUESTIONS.values() for flag in flags} - had == set()


def test_the_help_reads_from_the_song_to_what_is_written():
    shown = CliRunner().invoke(cli, ["explain", "--help"]).output
    places = [shown.index(f"\n{question}:\n") for question in QUESTIONS]
    assert places == sorted(places)
