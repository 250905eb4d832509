"""The list of wheels: pinned, without doubles, and of what a bare machine lacks."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.tools import wheels

ROOT = Path(wheels.__file__).parents[2]
#: What a bare machine has.
BARE = {"torch", "torchaudio", "transformers", "numpy", "scipy", "safetensors", "jinja2", "rich", "regex", "pyarrow"}
#: What these need themselves is there too.
BROUGHT = {"packaging"}


def test_what_the_package_needs_is_on_a_bare_machine_or_on_the_list():
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {requirement.replace(">", "=").split("=")[0].strip().lower() for requirement in needed}
    pinned = [pin.split("==")[0].lower() for pin in wheels.read_list()]
    assert names - BARE - BROUGHT <= set(pinned)
    assert len(set(pinned)) == len(pinned)
    assert not BARE & set(pinned)


@pytest.mark.parametrize("line", ["captum", "captum>=0.9", "captum==", "captum==0.9==1"])
def test_a_wheel_that_isnt_pinned_is_refused(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"# what\nclick==8.5.1 # why\n{line}\n")
    with pytest.raises(ValueError, match="isn't pinned: write NAME==VERSION"):
        wheels.read_list(path)


def test_wheels_for_another_machine_are_found():
    tags = ("py3-none-any", "cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_28_x86_64",
            "cp312-cp312-linux_aarch64", "cp310-abi3-manylinux2014_x86_64")  # fmt: skip
    names = [f"a-1-{tag}.whl" for tag in tags]
    assert wheels.find_foreign(names) == [names[2], names[3]]


def test_each_is_brought_for_the_machine_it_is_for_or_built(monkeypatch, tmp_path):
    asked = []

    def run(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, int("download" in command and "rare==1" in command))

    monkeypatch.setattr(subprocess, "run", run)
    wheels.bring("click==8.5.1", tmp_path)
    wheels.bring("rare==1", tmp_path)
    assert [command[5] for command in asked] == ["download", "download", "wheel"]
    assert all(command[0] == sys.executable and "--no-deps" in command for command in asked)
    assert {"3.12", "manylinux_2_28_x86_64", "--only-binary=:all:"} <= set(asked[0])
