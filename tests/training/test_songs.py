"""Songs of a training run: what dropout changes, and how batches are joined."""

from dataclasses import replace

import soundfile
import torch
from taggers import make_songs, make_tagger

from musiclime_torch.training.songs import join, load_stems


def test_a_song_hangs_on_seed_epoch_and_place_alone(entries):
    model = make_tagger()
    songs = make_songs(entries, model, separator="none")
    again = make_songs(entries, model, separator="none")
    n = len(songs)
    pieces = [songs[3 + epoch * n] for epoch in range(6)]
    assert torch.equal(pieces[4].audio, again[3 + 4 * n].audio)
    assert torch.equal(pieces[4].ids, again[3 + 4 * n].ids)
    assert len({piece.audio.sum().item() for piece in pieces}) > 3
    assert all(torch.equal(piece.labels, pieces[0].labels) for piece in pieces)
    other = make_songs(entries, model, separator="none", seed=1)
    assert any(not torch.equal(other[3 + epoch * n].ids, pieces[epoch].ids) for epoch in range(6))


def test_dropout_silences_segments_and_masks_words(entries):
    model = make_tagger()
    songs, whole = make_songs(entries, model, separator="none"), make_songs(entries, model, random=False)
    model.max_seconds = None
    songs.longest = whole.longest = None
    n, dropped = len(songs), 0
    clean = whole[2]
    mask = model.tokenize("x").mask_id
    for epoch in range(40):
        piece = songs[2 + epoch * n]
        assert piece.audio.shape == clean.audio.shape
        gone = (piece.audio == 0) & (clean.audio != 0)
        changed = piece.ids != clean.ids
        assert bool((piece.ids[changed] == mask).all())
        assert torch.equal(
            piece.audio[~gone & (piece.audio == clean.audio)], clean.audio[~gone & (piece.audio == clean.audio)]
        )
        dropped += bool(gone.float().mean() > 0.05)
    # A fifth lose nothing, and some others too little to lose a tenth of the song.
    assert 10 < dropped < 32


def test_stems_are_dropped_one_by_one(entries):
    songs = make_songs(entries[:4], make_tagger(), separator="hpss")
    assert songs[0].audio.shape[:2] == (1, 1)
    assert torch.isfinite(songs[1].audio).all()


def test_joined_batches_keep_every_row(entries):
    songs = make_songs(entries, make_tagger())
    items = [songs[index] for index in range(5)]
    items[2] = replace(
        items[2], audio=items[2].audio[:, :, :500], ids=items[2].ids[:, :2], attended=items[2].attended[:, :2]
    )
    batch = join(items)
    for row, item in enumerate(items):
        frames, tokens = item.audio.shape[2], item.ids.shape[1]
        assert torch.equal(batch.audio[row, :, :frames], item.audio[0])
        assert not batch.audio[row, :, frames:].any()
        assert torch.equal(batch.ids[row, :tokens], item.ids[0])
        assert not batch.attended[row, tokens:].any()
        assert torch.equal(batch.labels[row], item.labels[0])


def test_a_stem_that_is_hardly_heard_is_silenced_with_the_loudest(entries, tmp_path):
    """As in explanations, of which dropout makes inputs."""
    generator = torch.Generator().manual_seed(0)
    for name, level in (("drums", 0.3), ("voice", 0.2), ("residual", 0.001)):
        sound = level * torch.randn(16000, generator=generator).numpy()
        soundfile.write(tmp_path / f"{name}.wav", sound, 16000, "FLOAT")
    stems = load_stems(replace(entries[0], stems=tmp_path, audio=None), 16000, 60.0, "none")
    assert len(stems) == 2
    whole = load_stems(replace(entries[0], stems=tmp_path, audio=None), 16000, 60.0, None)
    assert torch.allclose(stems.sum(0), whole.sum(0), atol=1e-5)
