"""The app's page: reports in their frames, sessions in their own folders."""

from musiclime_torch.commands.app.page import find_folder, frame_report


def test_a_session_cannot_name_another_folder(tmp_path):
    found = {find_folder(tmp_path, name) for name in ("a", "../../etc", "/etc", "")}
    assert {path.parent for path in found} == {tmp_path}
    assert len(found) == 4


def test_a_report_in_its_frame_stays_text_and_large_ones_stay_out():
    framed = frame_report('<!doctype html><p title="x">\'</p>')
    assert framed.count("<") == 1 + framed.count("</iframe>")
    assert 'sandbox="allow-scripts"' in framed
    assert "<iframe" not in frame_report("x" * 13_000_000)
