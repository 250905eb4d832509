"""Progress bars: where they are drawn."""

import pytest

from musiclime_torch.basics.progress import Forecast, Stages, open_bar


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


def test_a_wait_is_foretold_once_from_the_second_batch_on(capsys: pytest.CaptureFixture[str]):
    now, seen = 0.0, []

    def say(forecast: Forecast) -> str:
        seen.append(forecast)
        return f"{forecast.passes} passes"

    stages = Stages(say=say, clock=lambda: now)
    stages.begin("asking", 1002)
    # The first batch takes long, for whatever it loads.
    now = 60.0
    stages.update(2)
    assert seen == []
    now = 66.4
    stages.update(64)
    assert [(forecast.passes, round(forecast.seconds, 6)) for forecast in seen] == [(1002, 93.6)]
    assert capsys.readouterr().err == "1002 passes\n"
    now = 200.0
    stages.update(64)
    stages.begin("evidence", 10)
    stages.update(1)
    stages.update(1)
    assert len(seen) == 1


def test_nothing_is_foretold_of_a_stage_without_an_end():
    stages = Stages(say=lambda forecast: pytest.fail("nothing is known"))
    stages.begin("looking for evidence")
    stages.update(3)
    stages.update(3)


def test_batches_of_nothing_foretell_nothing():
    said: list[Forecast] = []
    with Stages(say=lambda forecast: said.append(forecast) or "", clock=lambda: 1.0) as stages:
        stages.begin("asking the model", 4)
        stages.update(1)
        stages.update(0)
        assert said == []
        stages.update(1)
    assert [forecast.passes for forecast in said] == [4]
