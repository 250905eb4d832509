"""Names to choose from are strings, and the options of the command line offer the same ones."""

from typing import get_args

import click
import pytest

from musiclime_torch.basics import choices
from musiclime_torch.commands.cli import cli

LISTS = [name for name in vars(choices) if get_args(getattr(choices, name))]


@pytest.mark.parametrize("name", LISTS)
def test_no_name_is_listed_twice(name: str):
    names = get_args(getattr(choices, name))
    assert len(set(names)) == len(names) > 1
    assert all(isinstance(choice, str) for choice in names)


@pytest.mark.parametrize(
    ("option", "listed"),
    [
        ("units", "Units"),
        ("design", "DesignName"),
        ("weights", "WeightsName"),
        ("space", "Space"),
        ("precision", "Precision"),
    ],
)
def test_the_command_line_offers_what_is_listed(option: str, listed: str):
    (kind,) = [parameter.type for parameter in cli.commands["explain"].params if parameter.name == option]
    assert isinstance(kind, click.Choice)
    assert tuple(kind.choices) == get_args(getattr(choices, listed))
