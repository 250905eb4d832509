"""An explanation survives saving, and files that hold something else are refused."""

import sys

import pytest
from models import Additive, Late

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.views.exports.files import to_record


def test_an_explanation_survives_saving(track: Track, tmp_path):
    explanation = explain(Additive(limit=4), track, segments=2, target="sad")
    explanation.save(tmp_path / "e.safetensors")
    loaded = Explanation.load(tmp_path / "e.safetensors")
    assert to_record(loaded) == to_record(explanation)
    assert loaded.components == explanation.components
    assert loaded.unseen == explanation.unseen
    assert loaded.classes[loaded.target] == "sad"
    assert [path.name for path in tmp_path.iterdir()] == ["e.safetensors"]


def test_other_files_and_newer_formats_are_refused(tmp_path):
    import json

    from safetensors.torch import save_file

    (tmp_path / "text").write_text("no")
    save_file({}, tmp_path / "bare")
    save_file({}, tmp_path / "newer", {"musiclime_torch": json.dumps({"format_version": 99})})
    for name, message in (("text", "not a saved"), ("bare", "not a saved"), ("newer", "format 99"), ("none", "not a saved")):
        with pytest.raises(InputError, match=message):
            Explanation.load(tmp_path / name)


@pytest.mark.parametrize(("change", "said"), [
    (lambda fields: fields.pop("components"), "'components'"),
    (lambda fields: fields.pop("looks"), "'looks'"),
    (lambda fields: fields.update(mood="sad"), "'mood'"),
    (lambda fields: fields["components"]["items"][0].update(mood="sad"), "'mood'"),
    (lambda fields: fields.update(unseen={"first": "silent"}), "'first'"),
    (lambda fields: fields.update(evidence={"keeping": None}), "'flipping'"),
])  # fmt: skip
def test_files_with_other_fields_are_refused(track: Track, tmp_path, change, said: str):
    import json

    from safetensors import safe_open
    from safetensors.torch import save_file

    explain(Additive(), track, segments=2, n_samples=60).save(tmp_path / "whole")
    with safe_open(tmp_path / "whole", "pt") as file:
        fields = json.loads(file.metadata()["musiclime_torch"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    change(fields)
    save_file(tensors, tmp_path / "changed", {"musiclime_torch": json.dumps(fields)})
    with pytest.raises(InputError, match=f"is not a saved explanation .*{said}"):
        Explanation.load(tmp_path / "changed")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_has_a_row_for_each_component_of_each_class(track: Track, library: str):
    pytest.importorskip(library)
    explanation = explain(Late(), track, segments=2, n_samples=200)
    frame = explanation.to_frame(library=library)
    assert len(frame) == 3 * len(explanation.components)
    assert list(frame["component"][:2]) == [item.name for item in explanation.components[:2]]
    alone = explanation.to_frame("wild", library=library)
    assert set(alone["class"]) == {"wild"}
    assert list(alone["attribution"]) == pytest.approx(explanation.attributions[1].tolist())
    assert type(explanation.to_frame()).__module__.startswith(("pandas", "polars"))


def test_a_frame_without_a_library_names_the_install(track: Track, monkeypatch: pytest.MonkeyPatch):
    explanation = explain(Late(), track, segments=2, n_samples=200)
    monkeypatch.setattr(sys, "path", [])
    for name in [name for name in sys.modules if name.split(".")[0] in ("pandas", "polars")]:
        monkeypatch.delitem(sys.modules, name)
    sys.path_importer_cache.clear()
    with pytest.raises(InputError, match="this needs pandas, which isn't installed: run pip install 'pandas'"):
        explanation.to_frame()
    with pytest.raises(InputError, match="needs polars"):
        explanation.to_frame(library="polars")
    with pytest.raises(InputError, match="library must be pandas or polars, got 'arrow'"):
        explanation.to_frame(library="arrow")
