"""Progress bars: where they are drawn."""

import pytest

from musiclime_torch.basics.progress import open_bar


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
