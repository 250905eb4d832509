"""What the command line says of its options is what they do."""

import inspect
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.cli import cli
from musiclime_torch.commands.options import gather, read_command
from musiclime_torch.demo.bundle import demo_song
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.song.track import load_track


@pytest.mark.parametrize("command", ["explain", "demo", "check", "corpus"])
def test_defaults_in_the_help_are_those_of_the_functions(command: str):
    functions = inspect.signature(load_track).parameters | inspect.signature(explain).parameters
    options = {one.name: one for one in cli.commands[command].params if isinstance(one, click.Option)}
    compared = 0
    for name in functions.keys() & options.keys():
        default = functions[name].default
        if type(default) in (int, float, str) and not options[name].is_flag:
            said = re.search(r"\[default: ([^\]:;]+)", options[name].help or "")
            assert said, name
            assert said[1] == (default if isinstance(default, str) else f"{default:g}"), name
            compared += 1
    assert compared >= 10
    # Without a number: as many as it takes, and at most so many.
    assert "at most 2,048]" in (options["n_samples"].help or "")


@pytest.mark.parametrize(
    ("arguments", "unlisted"),
    [
        (["check", "--demo"], ["--evidence"]),
        (["corpus", "m.csv", "--out", "out", "--model", "demo"], ["--evidence", "--foil"]),
    ],
)
def test_what_a_command_has_no_use_for_is_refused_and_not_listed(arguments: list[str], unlisted: list[str]):
    listed = CliRunner().invoke(cli, [arguments[0], "--help"])
    assert listed.exit_code == 0, listed.output
    for flag in unlisted:
        assert flag not in listed.stdout
        given = [flag] if flag == "--evidence" else [flag, "calm"]
        refused = CliRunner().invoke(cli, [*arguments, *given])
        assert "use explain" in str(refused.exception)


SONG = str(demo_song())
ASKING = ["explain", SONG, "--model", "demo", "--ask", "Is it sad?"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ASKING, "--ask needs an answer to explain: give --answer Yes --foil No"),
        (["explain", SONG, "--answer", "Yes"], "--answer needs a question: give --ask"),
        (["explain", SONG, "--ask", "Is it sad?", "--answer", "Yes"], "--ask needs a music language model alone"),
        (
            ["check", "--demo", "--model", "demo", "--ask", "Is it sad?", "--answer", "auto"],
            "--answer auto is for one song",
        ),
    ],
)
def test_questions_that_lack_something_are_refused(arguments: list[str], message: str):
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)


@pytest.mark.parametrize("command", ["explain", "check"])
def test_a_file_whose_name_begins_with_a_dash_is_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str):
    monkeypatch.chdir(tmp_path)
    for name in ("-live.wav", "--lyrics"):
        Path(name).write_text("no sound")
    said = CliRunner().invoke(cli, [command, "-live.wav", "--lyrics", "-live.wav", "--lyrics-encoding", "klingon"])
    assert "encoding 'klingon'" in str(said.exception)
    assert "No such option" in CliRunner().invoke(cli, [command, "-other.wav"]).output


def test_the_command_is_kept_as_it_was_typed(monkeypatch: pytest.MonkeyPatch):
    assert read_command() == ""
    monkeypatch.setenv("HOME", "/home/someone")
    typed = ["explain", "/home/someone/my song.wav", "--start", "3"]
    with click.Context(click.Command("musiclime"), obj=typed) as context, click.Context(click.Command("x"), parent=context):
        assert read_command() == "musiclime explain '~/my song.wav' --start 3"
        # What may be secret in an address isn't.
        typed[:] = ["explain", "a.wav", "--model=https://me:secret@example.org/x?key=secret#queries=5", "--ask", "http why"]
        assert read_command() == "musiclime explain a.wav '--model=https://example.org/x#queries=5' --ask 'http why'"


@pytest.mark.parametrize(("text", "asked"), [("all", "all"), ("target", "target"), ("sad, calm", ("sad", "calm"))])
def test_classes_whose_interactions_are_asked_for_are_names_with_commas(text: str, asked: object):
    assert gather({"preset": None, "interactions": text}) == {"interactions": asked}
