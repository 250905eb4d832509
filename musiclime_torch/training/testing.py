"""Held-out songs run through a model over their whole length, as explanations run them."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from musiclime_torch.models.care import evaluating
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.training.songs import ManifestSongs, cut_windows, load_stems


def predict(
    model: Any, songs: ManifestSongs, device: torch.device | str, without: str | None = None
) -> Float[Tensor, "song class"]:
    """Outputs for every song, the mean over its windows; `without` "audio" replaces the sound by silence, "lyrics" the
    lyrics by nothing.
    """
    rows = []
    with evaluating(model):
        for number in range(len(songs)):
            inputs: list[Any] = []
            windows = 1
            if songs.hears:
                windows_of_song = _hear(songs, number, without == "audio").to(device)
                inputs.append(windows_of_song)
                windows = len(windows_of_song)
            if songs.reads:
                tokens = model.tokenize("" if without == "lyrics" else songs.texts[number])
                embedded = model.embed_text(tokens.ids.to(device)).expand(windows, -1, -1)
                inputs.append(TokenBatch(embedded, torch.ones(embedded.shape[:2], dtype=torch.bool, device=device)))
            # The mean over windows, as explanations average a song longer than the model's input.
            rows.append(model(*inputs).mean(0).float().cpu())
    return torch.stack(rows)


def _hear(songs: ManifestSongs, number: int, silent: bool) -> Float[Tensor, "window 1 frame"]:
    sound = load_stems(songs.entries[number], songs.rate, songs.max_seconds, None).sum(0)
    windows = cut_windows(sound, songs.rate, songs.longest)
    return torch.zeros_like(windows) if silent else windows
