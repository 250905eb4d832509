"""`benchmarks/run.py`: which scripts run where, so that no result of one machine is kept as another's."""

import pytest

from benchmarks import run as results


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
