"""Parts of models by hub id or folder: names that lead nowhere are answered with what to do."""

from pathlib import Path

import pytest

from musiclime_torch.basics.errors import InputError
from musiclime_torch.commands.models import load_model


def test_names_that_lead_nowhere_say_what_to_do(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("nobody/nothing", "hf download nobody/nothing"),
        (str(tmp_path / "empty"), "can be loaded"),
        ("nonsense", "is not known"),
        ("no.such.module:thing", "can't be made"),
    ):
        with pytest.raises(InputError, match=message):
            load_model(name, "cpu")
