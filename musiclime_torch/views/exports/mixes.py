"""The song, its evidence alone and the song without it as sound files, loudness matched: to be listened to anywhere."""

from pathlib import Path

import soundfile

from musiclime_torch.basics.errors import InputError
from musiclime_torch.basics.files import writing_atomically
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.song.track import Track
from musiclime_torch.variants.sound import AudioBaseline
from musiclime_torch.views.page.loudness import match_loudness
from musiclime_torch.views.page.mixes import make_versions

#: Bits that both formats keep, and that no mix needs more of.
SUBTYPE = "PCM_24"


def write_mixes(
    explanation: Explanation, track: Track, out: str | Path, form: str = "wav", baseline: AudioBaseline | None = None
) -> list[Path]:
    """`song`, `keeping` and `flipping`, those that there are, at the song's rate; `form` is "wav" or "flac".

    All get the same loudness (BS.1770) by gain alone, so that none clips. `baseline` is needed where it was another song.

    Raises:
        InputError: another format, another track, or a folder that can't be written to.
    """
    if form not in ("wav", "flac"):
        raise InputError(f"mixes are not written as {form!r}: use wav or flac.")
    versions = [version for version in make_versions(explanation, track, baseline) if version.sound is not None]
    gains = match_loudness([version.sound for version in versions if version.sound is not None], track.sample_rate)
    paths = []
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        for version, gain in zip(versions, gains, strict=True):
            assert version.sound is not None, "silent versions were left out"
            path = Path(out) / f"{version.name}.{form}"
            samples = (version.sound * 10 ** (gain / 20)).T.contiguous().numpy()
            with writing_atomically(path) as partial:
                soundfile.write(partial, samples, track.sample_rate, SUBTYPE, format=form.upper())
            paths.append(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InputError(f"{str(out)!r} can't be written to ({error}): give another folder.") from error
    return paths
