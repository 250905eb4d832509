"""Progress bars: where they are drawn."""

from threading import Event, active_count
from time import monotonic

import pytest

from musiclime_torch.basics.progress import Forecast, SongBar, Stages, State, open_bar, open_stages


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


def test_a_bar_that_is_shown_moves_while_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A batch may take a minute: the time that has passed is drawn all the same, and nothing is left running."""
    monkeypatch.setattr("musiclime_torch.basics.progress.TICK", 0.02)
    before = active_count()
    with open_bar(10, name="asking", shown=True, piped=True) as bar:
        assert active_count() == before + 1
        capsys.readouterr()
        deadline = monotonic() + 5
        drawn = ""
        while drawn.count("asking") < 2 and monotonic() < deadline:
            Event().wait(0.02)
            drawn += capsys.readouterr().err
        assert drawn.count("asking") >= 2
        assert bar.n == 0
    assert active_count() == before
    with open_bar(10, shown=False):
        assert active_count() == before


def test_stages_tell_where_they_are():
    states: list[State] = []
    stages = Stages(listen=states.append, about="song.mp3")
    stages.begin("separating", 1.0, unit="")
    stages.update(0.25)
    stages.begin("asking", 10)
    stages.update(4)
    stages.expect(2)
    stages.update(3)
    assert states == [
        State("song.mp3: separating", 0, 1.0, ""),
        State("song.mp3: separating", 0.25, 1.0, ""),
        State("song.mp3: asking", 0, 10, "pass"),
        State("song.mp3: asking", 4, 10, "pass"),
        State("song.mp3: asking", 4, 6, "pass"),
        State("song.mp3: asking", 7, 7, "pass"),
    ]


def test_a_stage_that_is_not_foretold_is_skipped(capsys: pytest.CaptureFixture[str]):
    seen: list[Forecast] = []
    stages = Stages(say=lambda forecast: seen.append(forecast) or "", clock=lambda: 1.0)
    stages.begin("looking for evidence", 10, foretold=False)
    stages.update(1)
    stages.update(1)
    assert seen == []
    stages.begin("asking", 10, at_most=True)
    stages.update(1)
    stages.update(1)
    assert [forecast.at_most for forecast in seen] == [True]


def test_stages_that_are_given_go_on():
    stages = Stages()
    assert open_stages(stages) is stages
    assert open_stages(False) is not stages


def test_the_bar_of_a_catalogue_moves_with_the_passes_of_its_song():
    said: list[Forecast] = []
    now = 100.0
    bar = SongBar(4, False, lambda forecast: said.append(forecast) or "", lambda: now)
    stages = bar.follow("first.mp3")
    stages.begin("asking", 100, at_most=True)
    stages.update(50)
    assert bar._reached == 0.5
    # Sampling was settled early: the next song begins where this one ends.
    bar.finish(1)
    assert bar._reached == 1
    following = bar.follow("second.mp3")
    following.begin("asking", 100)
    following.update(10)
    assert bar._reached == pytest.approx(1.1)
    bar.finish(3)
    assert bar._reached == 4


def test_the_first_song_foretells_all_of_them():
    said: list[Forecast] = []
    now = 100.0
    bar = SongBar(40, False, lambda forecast: said.append(forecast) or "", lambda: now)
    bar.finish(10)
    stages = bar.follow("first.mp3")
    stages._clock = lambda: now
    stages.begin("asking", 100, at_most=True)
    stages.update(10)
    now = 110.0
    stages.update(10)
    # Ten seconds for ten of a hundred passes: eighty more for the rest, and thirty songs like it are left.
    assert said == [Forecast(30, 30 * (10.0 + 80.0), True)]


def test_passes_that_are_spared_are_no_longer_expected():
    states = []
    stages = Stages(listen=states.append)
    stages.spare(5)  # no stage yet
    stages.begin("asking", 100)
    stages.update(30)
    stages.spare(50)
    stages.spare(50)
    assert [state.total for state in states] == [100, 100, 50, 30]
    stages.begin("looking for evidence")
    stages.spare(3)
    assert states[-1].total is None
