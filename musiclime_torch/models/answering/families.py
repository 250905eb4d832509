"""How each family of music language models turns sound into embeddings of its language model.

A family is a small class. `hear` runs tower and projector, and the embeddings are merged by us: given embeddings beside
features, two of these families drop the sound without a word. Another family needs this class alone, in `FAMILIES`.
Whisper's log-mel features are made on the device of the audio, as its feature extractor makes them on the host. Each
distinct window goes through a tower once (`Encodings`).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class WhisperMel(nn.Module):
    """Windows of sound to log-mel features; settings are those of a `WhisperFeatureExtractor`."""

    filters: Float[Tensor, "frequency mel"]
    window: Float[Tensor, " frame"]

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.rate, self.hop, self.fft = extractor.sampling_rate, extractor.hop_length, extractor.n_fft
        #: Samples of the window that every input is padded to.
        self.samples = int(extractor.chunk_length * extractor.sampling_rate)
        self.register_buffer("filters", torch.tensor(extractor.mel_filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(self.fft), persistent=False)

    def forward(self, wave: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch mel time"]:
        """Features of a whole window, silence added where there is less."""
        return self.measure(nn.functional.pad(wave, (0, self.samples - wave.shape[1])))

    def measure(self, padded: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch mel time"]:
        """Features of sound as it is."""
        spectrum = torch.stft(padded, self.fft, self.hop, window=self.window, return_complex=True)[..., :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        logs = (self.filters.T @ power).clamp_min(1e-10).log10()
        # The extractor's floor is eight below the window's own maximum: what is removed at one moment moves the quietest
        # parts of others. It belongs to what the model is given, and is kept.
        floor = logs.amax((1, 2), keepdim=True) - 8.0
        features: Tensor = (torch.maximum(logs, floor) + 4.0) / 4.0
        return features


class Family(Protocol):
    """What `Answering` asks of a family; `model` is its transformers class, `processor` that of the checkpoint."""

    #: Seconds of sound that it takes at once; longer songs are run in windows.
    max_seconds: float

    def __init__(self, model: nn.Module, processor: Any) -> None: ...

    def hear(self, audio: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch token hidden"]:
        """Embeddings for the place of the sound in the prompt. Their number depends on the length alone."""
        ...


class Flamingo:
    """AudioFlamingo3 and MusicFlamingo: windows of half a minute side by side."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.mel = model, WhisperMel(processor.feature_extractor)
        self.max_seconds = float(processor.max_audio_len)
        # MusicFlamingo's processor puts marks around the sound; AudioFlamingo3's template has its own.
        marks = [getattr(processor, f"audio_{end}_token", None) for end in ("bos", "eos")]
        self.marks = processor.tokenizer.convert_tokens_to_ids(marks) if all(marks) else None
        self.sound_id = processor.audio_token_id
        self.encodings = Encodings()

    def hear(self, audio: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch token hidden"]:
        """Windows encoded by themselves; MusicFlamingo turns them by their times, and so needs to know their order."""
        batch, samples = audio.shape
        mel = self.mel
        # A last window of two frames of mel or less makes no token, and the library fails on it: its 20 ms are left out.
        rest = samples % mel.samples
        if samples > mel.samples and rest and rest <= 2 * mel.hop:
            audio, samples = audio[:, : samples - rest], samples - rest
        pieces = audio.split(mel.samples, 1)
        features = torch.stack([mel(piece) for piece in pieces], 1).flatten(0, 1)
        counts = torch.tensor([-(-piece.shape[1] // mel.hop) for piece in pieces])
        frames = counts.to(audio.device, non_blocking=True)
        mask = (torch.arange(features.shape[2], device=audio.device) < frames[:, None]).to(torch.int32).repeat(batch, 1)
        count = int(sum(((-(-piece.shape[1] // mel.hop) - 1) // 2 + 1 - 2) // 2 + 1 for piece in pieces))
        encoded = self._encode(features, mask, counts.tolist() * batch, len(pieces) > 1)
        heard = self._project(encoded, mask, batch, count).view(batch, count, -1)
        if self.marks is None:
            return heard
        begin, end = self.model.get_input_embeddings()(
            torch.tensor(self.marks).to(audio.device, non_blocking=True)
        ).unsqueeze(1)
        return torch.cat([begin.expand(batch, 1, -1), heard, end.expand(batch, 1, -1)], 1)

    def _encode(
        self, features: Float[Tensor, "window mel time"], mask: Tensor, frames: Sequence[int], keep: bool
    ) -> Float[Tensor, "window position dim"]:
        """The tower's own states. A song of one window has as many renderings as masks: nothing is worth keeping."""
        tower = self.model.model.audio_tower
        features = features.to(self.model.get_input_embeddings().weight.dtype)

        def run(places: Tensor) -> Tensor:
            states: Tensor = tower(features[places], input_features_mask=mask[places]).last_hidden_state
            return states

        return self.encodings.encode(tower, features, frames, run, keep)

    def _project(
        self, encoded: Float[Tensor, "window position dim"], mask: Tensor, batch: int, count: int
    ) -> Float[Tensor, "token hidden"]:
        """The library's own way from the tower's states to embeddings, in which MusicFlamingo turns them by their times."""
        # A twin that shares all parts but the tower, whose states are there already. The model itself is left alone.
        twin = copy(self.model.model)
        twin._modules = twin._modules | {"audio_tower": _Heard(twin.audio_tower, encoded)}
        if "Music" not in type(self.model).__name__:
            result: Tensor = twin.get_audio_features(encoded, mask).pooler_output
            return result
        ids = torch.full((batch, count), self.sound_id, device=encoded.device)
        turned: Tensor = twin.get_audio_features(encoded, mask, input_ids=ids).pooler_output
        return turned


class _Heard(nn.Module):
    """In the place of a tower whose states are known."""

    def __init__(self, tower: Any, states: Tensor) -> None:
        super().__init__()
        self._get_feat_extract_output_lengths = tower._get_feat_extract_output_lengths
        self.states = states

    def forward(self, features: Tensor, **options: Any) -> Any:
        """The states, whatever the features."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(last_hidden_state=self.states)


class Qwen2Audio:
    """Qwen2-Audio: one window of half a minute. The library cuts off what is longer; here it becomes further windows."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.mel = model, WhisperMel(processor.feature_extractor)
        self.max_seconds = float(processor.feature_extractor.chunk_length)

    def hear(self, audio: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch token hidden"]:
        """Frames past the sound's end are padding that nothing attends to."""
        from transformers.masking_utils import create_bidirectional_mask

        tower, projector = self.model.model.audio_tower, self.model.model.multi_modal_projector
        features = self.mel(audio).to(self.model.get_input_embeddings().weight.dtype)
        frames = -(-audio.shape[1] // self.mel.hop)
        inner = (frames - 1) // 2 + 1
        length = (features.shape[2] - 2) // 2 + 1
        there = (torch.arange(length, device=audio.device) < inner).long().expand(len(audio), -1)
        mask = create_bidirectional_mask(
            config=tower.config, inputs_embeds=features.new_zeros(len(audio), length, 1), attention_mask=there
        )
        heard: Tensor = projector(tower(features, attention_mask=mask).last_hidden_state)
        return heard[:, : (inner - 2) // 2 + 1]


class Qwen25Omni:
    """Qwen2.5-Omni's thinker: up to five minutes, in blocks of two seconds that don't see each other."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.mel = model, WhisperMel(processor.feature_extractor)
        self.max_seconds = float(processor.feature_extractor.chunk_length)
        self.encodings = Encodings()

    def hear(self, audio: Float[Tensor, "batch sample"]) -> Float[Tensor, "batch token hidden"]:
        """Block by block; the library's extractor would fill each sound up to five minutes first."""
        batch, frames = len(audio), -(-audio.shape[1] // self.mel.hop)
        # Silence after the end, as the extractor has it, for the frames that reach beyond.
        features = self.mel.measure(nn.functional.pad(audio, (0, 2 * self.mel.fft)))[..., :frames]
        features = features.to(self.model.get_input_embeddings().weight.dtype)
        # The tower cuts a sound into blocks of its own length before anything else, and the rest is a shorter one.
        block = 2 * self.model.model.audio_tower.n_window
        whole = frames - frames % block
        parts = [features[..., :whole].unflatten(2, (-1, block)).transpose(1, 2)] if whole else []
        if whole < frames:
            parts.append(features[:, None, :, whole:])
        heard = [self._encode(part.flatten(0, 1)).unflatten(0, (batch, -1)).flatten(1, 2) for part in parts]
        return torch.cat(heard, 1)

    def _encode(self, blocks: Float[Tensor, "block mel time"]) -> Float[Tensor, "block position hidden"]:
        tower, frames = self.model.model.audio_tower, blocks.shape[2]

        def run(places: Tensor) -> Tensor:
            # The tower takes all sounds in a row.
            row = blocks[places].transpose(0, 1).flatten(1)
            lengths = torch.full((len(places),), frames, dtype=torch.long, device=row.device)
            heard: Tensor = tower(row, feature_lens=lengths).last_hidden_state
            return heard.unflatten(0, (len(places), -1))

        return self.encodings.encode(tower, blocks, [frames] * len(blocks), run)


#: By the class that a checkpoint names as its own.
FAMILIES: dict[str, type[Flamingo] | type[Qwen2Audio] | type[Qwen25Omni]] = {
    "MusicFlamingoForConditionalGeneration": Flamingo,
    "AudioFlamingo3ForConditionalGeneration": Flamingo,
    "Qwen2AudioForConditionalGeneration": Qwen2Audio,
    "Qwen2_5OmniThinkerForConditionalGeneration": Qwen25Omni,
}

#: The classes of whole checkpoints of which a part is asked: the thinker, without the talker that speaks its answers.
PARTS = dict.fromkeys(
    ("Qwen2_5OmniModel", "Qwen2_5OmniForConditionalGeneration"), "Qwen2_5OmniThinkerForConditionalGeneration"
)


@dataclass(frozen=True)
class SoundProcessor:
    """A checkpoint's processor as far as sound and text go: the library's own for Omni also wants packages for pictures."""

    tokenizer: Any
    feature_extractor: Any
    audio_token: str = "<|AUDIO|>"

    def apply_chat_template(self, messages: Any, **more: Any) -> Any:
        """The tokenizer's."""
        return self.tokenizer.apply_chat_template(messages, **more)


# A window contains the stems of one or two segments of a long song, so that many masks leave it the same. What distinguishes
# windows is their content: a model is given sound and knows no masks.

#: Bytes of encodings that are kept between calls: a hundred half minutes of a model of 8 billion weights, in half precision.
KEPT = 512 * 2**20

#: A window's content in 128 bits, its frames, and the weights that it was encoded with.
Key = tuple[int, int, int, Any]


class Encodings:
    """What a tower made of windows. Several threads may use them at once."""

    def __init__(self, most: int = KEPT) -> None:
        self._rows: OrderedDict[Key, Tensor] = OrderedDict()
        self._most, self._bytes, self._lock = most, 0, Lock()

    def encode(
        self,
        tower: nn.Module,
        windows: Float[Tensor, "window ..."],
        frames: Sequence[int],
        run: Callable[[Int[Tensor, " some"]], Float[Tensor, "some position dim"]],
        keep: bool = True,
    ) -> Float[Tensor, "window position dim"]:
        """Encodings of all windows. `run` gets the places of those that must be encoded; `frames` are their own lengths.

        With `keep` later calls find them, until others need the room. Where gradients are wanted, or dropout makes every
        pass another one, all windows are run.
        """
        if torch.is_grad_enabled() or tower.training:
            return run(torch.arange(len(windows), device=windows.device))
        keys = self._name(tower, windows, frames)
        with self._lock:
            known = {key: self._rows[key] for key in dict.fromkeys(keys) if key in self._rows}
        places = {key: place for place, key in reversed(list(enumerate(keys))) if key not in known}
        if places:
            fresh = sorted(places.items(), key=lambda item: item[1])
            order = torch.tensor([place for _, place in fresh]).to(windows.device, non_blocking=True)
            rows = dict(zip((key for key, _ in fresh), run(order), strict=True))
            if keep:
                self._add(rows)
            known |= rows
        return torch.stack([known[key] for key in keys])

    def _name(self, tower: nn.Module, windows: Tensor, frames: Sequence[int]) -> list[Key]:
        """Keys of windows. An optimizer's step moves torch's counters, weights that are put in place their address."""
        parameters = list(tower.parameters())
        if any(weight.is_inference() for weight in parameters):
            weights: Any = object()  # torch doesn't count their changes: equal to no other call's
        else:
            weights = tuple((weight.data_ptr(), weight._version) for weight in parameters)
        names = fingerprint(windows).tolist()
        return [(first, second, count, weights) for (first, second), count in zip(names, frames, strict=True)]

    def _add(self, rows: dict[Key, Tensor]) -> None:
        with self._lock:
            for key, row in rows.items():
                if key not in self._rows:
                    # A row of a batch would keep the whole batch in memory.
                    self._rows[key] = row.clone()
                    self._bytes += row.nbytes
            while self._bytes > self._most:
                self._bytes -= self._rows.popitem(last=False)[1].nbytes


def fingerprint(windows: Float[Tensor, "window ..."]) -> Int[Tensor, "window 2"]:
    """128 bits of each window's content, computed where it is: windows of other content have others.

    Every 32 bits are mixed with their place by multiplication and shifts, as in splitmix64, and the results added up modulo
    2⁶⁴, twice. Sums of products alone would not tell two flipped signs.
    """
    bits = windows.float().flatten(1).contiguous().view(torch.int32)
    places = torch.arange(1, bits.shape[1] + 1, device=bits.device)
    return torch.stack([torch.stack([_mix(row, places, odd) for odd in _ODDS]) for row in bits])


#: Odd numbers: the golden ratio's bits, as in splitmix64, and those of √3.
_ODDS = (-7046029254386353131, -4942790177534073029)


def _mix(bits: Int[Tensor, " place"], places: Int[Tensor, " place"], odd: int) -> Int[Tensor, ""]:
    mixed = bits.long() ^ (places * odd)
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        # An arithmetic shift fills in the sign, and is a bijection with the exclusive or all the same.
        mixed = (mixed ^ (mixed >> shift)) * factor
    return (mixed ^ (mixed >> 31)).sum()
