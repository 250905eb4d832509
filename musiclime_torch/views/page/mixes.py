"""The mixes to listen to: the song, the evidence alone, the song without it, the song with the smallest edit that flips the
decision; rendered by the gates of the variants.

They have the song's own rate and channels, which may be better than the model's input. Components that the model can't
notice stay on, as in variants.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.answers import find_baseline_song, identify_songs, recall_track
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import AudioBaseline, gate_stems, make_stand_in, mix


@dataclass(frozen=True)
class Version:
    """One mix of the song: which components stay on, its sound, and the model's output on it in the explained space.

    `sound` is None where only silence is left, or where the sound is unchanged. `chance` is the probability
    of the target on evidence, None where there is none.
    """

    name: str
    kept: Bool[Tensor, " component"]
    sound: Float[Tensor, "channel frame"] | None
    output: float
    chance: float | None = None


def make_versions(explanation: Explanation, track: Track, baseline: AudioBaseline | None) -> list[Version]:
    """The song first, then what of the evidence was found; `baseline` is needed where it was another song, which isn't
    saved.

    Raises:
        InputError: the track isn't the one that was explained, or the baseline song is missing.
    """
    track = recall_track(explanation.provenance, track)
    _check(explanation, track)
    evidence, components = explanation.evidence, explanation.components
    everything = torch.ones(len(components), dtype=torch.bool)
    versions = [Version("song", everything, track.stems.sum(0), float(explanation.output_song[explanation.target]))]
    if evidence is None:
        return versions
    sets = (
        ("keeping", evidence.keeping, evidence.output_keeping, evidence.chance_keeping),
        ("flipping", evidence.flipping, evidence.output_flipping, evidence.chance_flipping),
    )
    for name, columns, output, chance in sets:
        if columns is None or output is None:
            continue
        # What keeps the decision is heard alone; what flips it is heard missing.
        kept = everything.clone() if name == "flipping" else torch.zeros_like(everything)
        kept[list(columns)] = name == "keeping"
        # Unseen components stayed on while evidence was sought, so they are heard here, too.
        kept[list(explanation.unseen)] = True
        cells = kept[: components.n_audio]
        # With everything removed the baseline is still audible, unless that is silence.
        audible = bool(cells.any()) or (len(cells) > 0 and not _is_silence(explanation))
        audible &= not bool(cells.all())
        sound = render_masked(explanation, track, cells, baseline) if audible else None
        versions.append(Version(name, kept, sound, output, chance))
    edit = evidence.edit
    if edit is not None and edit.columns is not None and edit.output is not None:
        kept = everything.clone()
        kept[list(edit.columns)] = False
        cells = kept[: components.n_audio]
        sound = None if bool(cells.all()) else render_masked(explanation, track, cells, baseline, edit.edit)
        versions.append(Version("edited", kept, sound, edit.output, edit.chance))
    return versions


def render_masked(
    explanation: Explanation,
    track: Track,
    cells: Bool[Tensor, " cell"],
    baseline: AudioBaseline | None = None,
    edit: str | None = None,
) -> Float[Tensor, "channel frame"]:
    """The track with some cells on, the rest their baseline or an `edit` of themselves, cross-faded as in the model's input.

    One channel at a time: a long song's stems are large, and gates hold a copy of them.
    """
    track = recall_track(explanation.provenance, track)
    components = explanation.components
    if edit is None:
        stand_in = _stand_in(explanation, track, baseline)
    else:
        stand_in = make_stand_in(track.stems, track.stem_names, track.sample_rate, edit, 0)
    masks = cells.reshape(1, components.n_stems, components.n_segments)
    channels = []
    for number in range(track.stems.shape[1]):
        channel = slice(number, number + 1)
        floor = None if stand_in is None else stand_in[:, channel]
        windows = gate_stems(track.stems[:, channel], floor, components.edges, track.sample_rate, None)
        channels.append(mix(windows[0], masks)[0, 0])
    return torch.stack(channels)


def _stand_in(
    explanation: Explanation, track: Track, baseline: AudioBaseline | None
) -> Float[Tensor, "stem channel frame"] | None:
    settings, song = explanation.provenance["settings"], find_baseline_song(explanation.provenance)
    if song is not None and identify_songs("silence" if baseline is None else baseline) is None:
        raise InputError(
            f"removed stems were replaced by those of the song {song['title']!r}: give its track as baseline.",
            argument="baseline",
        )
    known = settings["baseline"] if song is None or baseline is None else baseline
    return make_stand_in(track.stems, track.stem_names, track.sample_rate, known, settings["seed"])


def _is_silence(explanation: Explanation) -> bool:
    """Whether removed stems became silence."""
    provenance = explanation.provenance
    return find_baseline_song(provenance) is None and provenance["settings"]["baseline"] == "silence"


def _check(explanation: Explanation, track: Track) -> None:
    known, actual = explanation.provenance.get("audio_hash"), track.audio_hash
    components = explanation.components
    lasts = components.edges[-1] if components.edges else track.seconds
    stems = tuple(dict.fromkeys(item.stem for item in components.items if item.stem is not None))
    if (known and actual and known != actual) or abs(lasts - track.seconds) > 1e-3 or (stems and stems != track.stem_names):
        raise InputError(
            f"the track {track.title!r} is not the one that was explained: give the same song, excerpt and stems.",
            argument="track",
        )
