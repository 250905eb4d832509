"""`benchmarks/run.py`: which scripts run where, so that no result of one machine is kept as another's."""

import pytest

from benchmarks import run as results
from benchmarks.gpu import suite


@pytest.mark.parametrize("passed", [["--device", "cuda"], ["--device=cuda"], ["--sizes", "tiny", "--device", "cuda:1"]])
def test_a_device_is_recognised_however_it_is_given_and_only_where_there_is_a_choice(passed):
    assert results.pick_place(["foldover", "overhead", "paper_setting"], passed) == (["overhead", "paper_setting"], "cuda")


def test_without_a_device_all_run_on_the_cpu():
    assert results.pick_place(["corpus", "scaling"], ["--sizes", "tiny"]) == (["corpus", "scaling"], "cpu")


def test_a_device_without_a_name_is_refused(capsys):
    with pytest.raises(SystemExit):
        results.pick_place(["scaling"], ["--device"])
    assert "expected one argument" in capsys.readouterr().err


def test_options_go_only_to_scripts_that_have_them():
    passed = ["--device", "cuda", "--sizes=base", "--each", "4", "--no-compile"]
    assert results.keep_known("scaling", passed) == ["--device", "cuda", "--sizes=base", "--no-compile"]
    assert results.keep_known("veracity", passed) == ["--device", "cuda", "--each", "4"]
    assert results.keep_known("shapley", passed) == []
    # Options that several scripts share are known where they are asked for.
    shared = ["--rows", "8", "--precision=bfloat16", "--compile"]
    assert results.keep_known("time_to_accuracy", shared) == shared
    assert results.keep_known("corpus", shared) == []
    for name in ("report", "start", "solving", "whole_songs"):
        assert results.keep_known(name, ["--beside", "there"]) == ["--beside", "there"]


def test_results_of_another_precision_are_kept_apart():
    assert results.tell_tuning(["--device", "cuda", "--rows", "8"]) == ""
    assert results.tell_tuning(["--precision=bfloat16", "--compile"]) == "-bfloat16-compiled"
    assert results.tell_tuning(["--compile"]) == "-compiled"


def test_what_no_script_has_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "shapley", "--", "--sizes", "base"])
    with pytest.raises(SystemExit):
        results.main()
    assert "no benchmark that runs has --sizes" in capsys.readouterr().err


def test_the_revision_is_that_of_the_code():
    assert results.tell_revision().split()[0].isalnum()


def make_result(name: str) -> dict:
    about = {"command": "python", "date": "2026-11-28", "minutes": 1.0, "machine": {"gpu": "a card"}, "load": 0.1}
    return {"name": name, **about, "versions": {"torch": "2.14"}, "printed": f"the table of {name}", "figures": []}


def test_results_of_a_gpu_are_a_part_of_the_page_once_there_are_any():
    page = results.lay_out([make_result("planted"), make_result("gpu_sweep")])
    assert page.index("the table of planted") < page.index("## On a GPU") < page.index("the table of gpu_sweep")
    assert "The paper's model, AST-base + RoBERTa-large with random weights" in page
    assert "## On a GPU" not in results.lay_out([make_result("planted")])


def test_every_part_of_the_gpus_run_is_a_file_that_says_what_it_measures():
    for part in (*suite.PARTS, "goals"):
        assert results.summarise(f"gpu_{part}")


def test_the_gpus_run_gets_its_parts_and_options(monkeypatch):
    asked: list[list[str]] = []

    def run(command, **_):
        asked.append(command[1:])
        return results.subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(results.subprocess, "run", run)
    monkeypatch.setattr(results, "write_results", lambda: None)
    monkeypatch.setattr("sys.argv", ["run.py", "--gpu", "sweep", "--", "--minutes", "2"])
    with pytest.raises(SystemExit) as ended:
        results.main()
    assert asked == [["-m", "benchmarks.gpu.suite", "sweep", "--minutes", "2"]]
    assert ended.value.code == 3


def test_versions_are_of_packages_that_are_there(monkeypatch):
    monkeypatch.setattr(results, "PACKAGES", ("torch", "nonesuch-package"))
    assert list(results.list_versions()) == ["python", "torch"]


def test_scripts_of_one_name_in_two_folders_are_kept_apart():
    scripts = results.list_scripts()
    assert "answers" not in scripts
    for folder in ("accuracy", "cost"):
        assert scripts[f"{folder}_answers"].parts[-2:] == (folder, "answers.py")
        assert results.name_module(f"{folder}_answers") == f"benchmarks.{folder}.answers"
    assert results.name_module("planted") == "benchmarks.accuracy.planted"
