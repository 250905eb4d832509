"""Songs are tested as explanations run them."""

import torch
from taggers import make_songs, make_tagger

from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.track import load_track
from musiclime_torch.training.scores import predict


def test_songs_are_tested_as_explanations_run_them(entries):
    model = make_tagger().eval()
    # Shorter than the songs, so that there are several windows.
    model.max_seconds = 3.0
    songs = make_songs(entries, model, "test")
    outputs = predict(model, songs, "cpu")
    entry = songs.entries[1]
    track = load_track(entry.audio, lyrics=entry.lyrics, separator="none")
    # Segments shorter than a window, which then lie across cuts, as those of `predict` do.
    found = explain(model, track, segments=4, n_samples=16, space="logit", design="joint", units="section")
    assert torch.allclose(outputs[1].double(), found.output_song, atol=1e-5)
    silent, mute = predict(model, songs, "cpu", "audio"), predict(model, songs, "cpu", "lyrics")
    assert not torch.allclose(silent, outputs)
    assert not torch.allclose(mute, outputs)
    assert torch.allclose(silent[0], model(torch.zeros(1, 1, 48000), [songs.texts[0]])[0], atol=1e-5)
    nothing = TokenBatch(model.embed_text(torch.zeros(1, 0, dtype=torch.long)), torch.zeros(1, 0, dtype=torch.bool))
    assert torch.allclose(model.encode_text(nothing), model.encode_text(TokenBatch(nothing.embeddings, nothing.attended)))
