"""Ctrl-C at any moment: no half file under a final name, nothing left beside it, exit code 130, one line, no traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open
from soundfiles import make_noise, write
from warm import run_warm

from musiclime_torch.basics.files import write_atomically, writing_atomically
from musiclime_torch.explanation.explanation import Explanation

#: Before the command: a stop where a named function is called for the n-th time, for as long as it takes to be interrupted.
STOP = """
import importlib, os, signal, sys, time
def stop_at(where, number):
    module, _, name = where.rpartition(":")
    owner = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    plain, calls = getattr(owner, name), []
    def stopping(*given, **more):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        return plain(*given, **more)
    setattr(owner, name, stopping)
{stops}
sys.argv[0] = "musiclime"
from musiclime_torch.commands.cli import main
main()
"""


def interrupt(folder: Path, where: str, number: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_warm(arguments, folder, STOP.format(stops=f"stop_at({where!r}, {number})"))


def check_stopped(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    # A progress bar may stand before it.
    assert done.stderr.splitlines()[-1].endswith("musiclime: stopped.")
    check_whole(folder)


def check_whole(folder: Path) -> None:
    """Everything there can be read to its end."""
    for path in folder.rglob("*"):
        assert not path.name.startswith("."), path
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                assert file.keys()
        elif path.name == "index.html":
            assert path.read_text().rstrip().endswith("</html>")
        elif path.suffix == ".parquet":
            from pyarrow import parquet

            parquet.read_table(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("musiclime_torch.song.track:load_track", 1),
        ("musiclime_torch.variants.asking:mix", 2),
        ("musiclime_torch.commands.output:Output._write", 1),
        # Between the bytes and the name of each file in turn.
        ("pathlib:Path.replace", 1),
        ("pathlib:Path.replace", 3),
        ("pathlib:Path.replace", 4),
    ],
)
def test_explain_that_is_stopped(tmp_path: Path, where: str, number: int):
    write(tmp_path / "song.wav", make_noise(0.3, 8000), 8000)
    (tmp_path / "words.txt").write_text("hold me now")
    options = "explain song.wav --lyrics words.txt --separator none --segments 2 --n-samples 64 --device cpu --out out"
    done = interrupt(tmp_path, where, number, *options.split(), "--export", "csv,wav")
    check_stopped(done, tmp_path)
    written = sorted(path.name for path in (tmp_path / "out").glob("*"))
    assert len(written) < 4
    if number == 4:
        Explanation.load(tmp_path / "out" / "explanation.safetensors")


@pytest.mark.slow
def test_demo_corpus_and_training_that_are_stopped(tmp_path: Path):
    done = interrupt(
        tmp_path, "musiclime_torch.explanation.estimation.crossed:fuse", 1, "demo", "--n-samples", "88,208", "--out", "out"
    )
    check_stopped(done, tmp_path)
    assert not (tmp_path / "out").exists()
    for number in range(6):
        write(tmp_path / f"{number}.wav", make_noise(0.4, 8000, seed=number), 8000)
    rows = [f"s{n},{n}.wav,la lo,{'xy'[n % 2]},{['train', 'train', 'valid'][n // 2]}" for n in range(6)]
    (tmp_path / "m.csv").write_text("id,audio,lyrics,label,split\n" + "\n".join(rows) + "\n")
    options = "corpus m.csv --model demo --out all --separator none --segments 2 --n-samples 64 --device cpu --shard-size 2"
    done = interrupt(tmp_path, "musiclime_torch.corpus.runs.job:write_table", 3, *options.split())
    check_stopped(done, tmp_path)
    options = "train m.csv --model tagger --out trained --device cpu --workers 0 --epochs 1"
    done = interrupt(tmp_path, "pathlib:Path.replace", 2, *options.split())
    check_stopped(done, tmp_path / "trained")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.9, 2.0, 3.5])
def test_a_signal_from_outside(tmp_path: Path, seconds: float):
    """By the clock, so that it also meets imports and C code."""
    script = "import sys; print('ready', flush=True); from musiclime_torch.commands.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "demo", "--n-samples", "4000", "--out", "out", "--evidence"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    if process.returncode == 0:
        pytest.skip("it was faster than the signal")
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].endswith("musiclime: stopped.")
    check_whole(tmp_path)


def test_an_import_is_not_interrupted_but_what_follows_is(tmp_path: Path):
    """torch's own import, met at the wrong moment, ends in std::terminate."""
    (tmp_path / "slow_to_import.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.2)\nprint('whole', flush=True)\n"
    )
    script = """
import sys, time
import musiclime_torch.commands.cli as cli
def demo(**options):
    import slow_to_import
    time.sleep(60)
cli.cli.commands["demo"].callback = demo
sys.argv = ["musiclime", "demo"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=50)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "whole\n", "musiclime: stopped.")


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError, SystemExit])
def test_what_interrupts_a_file_leaves_the_old_one(tmp_path: Path, raised: type[BaseException]):
    path = tmp_path / "a.json"
    write_atomically(b"old", path, "out")

    def write_half() -> None:
        with writing_atomically(path) as partial:
            partial.write_bytes(b"ne")
            raise raised

    with pytest.raises(raised):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_nothing_in_the_package_writes_to_a_final_name():
    """Whoever opens a file for writing does so under `writing_atomically`, or says here why not."""
    import ast

    import musiclime_torch

    root = Path(musiclime_torch.__file__).parent
    # Generators of our own assets and data sets, a page in a folder that goes with its session, a link that is atomic, sound
    # that is encoded in memory.
    elsewhere = {"demo/asking.py", "demo/catalogue.py", "demo/song.py", "demo/training.py", "commands/app/page.py"}
    elsewhere |= {"basics/files.py", "corpus/runs/shards.py", "views/page/sound.py"}
    elsewhere |= {path.relative_to(root).as_posix() for path in (root / "training").glob("monitor.py")}
    for path in root.rglob("*.py"):
        if path.relative_to(root).as_posix() in elsewhere:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        sheltered = {
            id(node)
            for block in ast.walk(tree)
            if isinstance(block, ast.With) and any("writing_atomically(" in ast.unparse(each) for each in block.items)
            for node in ast.walk(block)
        }
        for node in ast.walk(tree):
            name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            written = ("write_text", "write_bytes", "save_file", "write_csv", "savez", "mkstemp", "savefig")
            if name in written or (
                isinstance(node, ast.Call) and ast.unparse(node.func) in ("soundfile.write", "parquet.write_table")
            ):
                assert id(node) in sheltered, f"{path}:{node.lineno} {ast.unparse(node)}"
