"""Progress bars: where they are drawn."""

import pytest

from musiclime_torch.basics.progress import Stages, open_bar


def test_the_end_is_drawn_however_soon_it_comes(capsys: pytest.CaptureFixture[str]):
    with open_bar(10, unit="mask", shown=True, piped=True) as bar:
        bar.update(3)
        assert "3/10" not in capsys.readouterr().err
        bar.update(7)
        assert "10/10" in capsys.readouterr().err


@pytest.mark.parametrize(("shown", "piped"), [(True, False), (False, True), (False, False)])
def test_nothing_is_drawn_unasked_or_where_there_is_no_terminal(
    shown: bool, piped: bool, capsys: pytest.CaptureFixture[str]
):
    with open_bar(10, shown=shown, piped=piped) as bar:
        bar.update(10)
    assert capsys.readouterr().err == ""


def test_stages_count_passes_and_end_at_all_of_them():
    with Stages(shown=True, piped=True) as stages:
        stages.begin("asking", 100)
        stages.update(30)
        stages.expect(10)
        assert (stages._bar.n, stages._bar.total) == (30, 40)
        stages.update(25)
        # More than was expected: the bar's end moves on, and it never shows more than all.
        assert (stages._bar.n, stages._bar.total) == (55, 55)
        first = stages._bar
        stages.begin("looking for evidence")
        assert first.n == first.total == 55
        stages.update(3)
        assert (stages._bar.n, stages._bar.total) == (3, None)


def test_a_stage_that_fails_doesnt_pretend_to_be_complete():
    stages = Stages(shown=True, piped=True)

    def fail() -> None:
        with stages:
            stages.begin("asking", 100)
            stages.update(30)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert (stages._bar.n, stages._bar.total) == (30, 100)
