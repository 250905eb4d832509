"""What the pipeline asks of a model, and what a model may offer to be explained better.

The least: ``model(audio, text) -> outputs`` with ``audio: Float[Tensor, "batch channel frame"]`` at a declared
sample rate, ``text: list[str]`` and ``outputs: Float[Tensor, "batch class"]``.

More, all optional, read as plain attributes:

``sample_rate``   Hz of the audio that the model takes.
``module``        the torch module behind a callable that isn't one: it is put in eval mode while the model is explained, and
                  its weights are hashed. Without it, modules are looked for in what the callable holds.
``only_rate``     true where a caller's other ``sample_rate`` must be refused.
``weights_hash``  SHA-256 of the weights of a module whose weights torch doesn't hold.
``channels``      1 or 2; without it the track's own number is kept.
``max_seconds``   length taken in one call; longer songs are run in successive windows and averaged.
``max_frames``    the same as a number of frames, for a model whose sample rate the caller gives.
``shortest_seconds``   the model can't judge shorter segments: `explain` makes none unless asked to.
``spectrogram``   ``(window, hop)`` in samples of the spectra that it sees: medians over neighbouring frames, which may stand
                  in for what is removed, are then made in its own frames.
``to_spectra``, ``hear_spectra``   ``model(audio)`` as ``hear_spectra(to_spectra(audio))``, with complex spectra (batch,
                  channel, bin, place) that are linear in the sound: medians are then made in them, and never turned into
                  sound.
``classes``       names of the output columns.
``output_kind``   one of ``OutputKind``.
``modalities``    ``("audio", "lyrics")``, ``("audio",)`` or ``("lyrics",)``: the positional arguments it takes.
``tokenize``      ``tokenize(text) -> Tokens``: masks then act on tokens, and ``text`` becomes token ids.
``embed_text``    ``embed_text(ids) -> embeddings``: masks then act on embeddings, and ``text`` becomes a ``TokenBatch``.
``takes_positions``   true where the model reads tokens at the places that ``TokenBatch.positions`` gives. Of words that are
                  gone it is then given no token at all: half as many on average.
``encode_audio``, ``encode_text``, ``fuse``   a late-fusion model: ``fuse(encode_audio(audio), encode_text(text))``, each
                  encoding a tensor with the batch first. It gets a crossed design.
``fuse_pairs``    ``fuse_pairs(heard, read) -> (n_audio, n_text, class)``: every pair at once, where that costs less than
                  ``fuse`` on repeated rows (`musiclime_torch.models.ast_roberta` has one for LayerNorm + Linear).
``encode_local``, ``pool_local``, ``receptive_field``   a sound tower whose frames hear little of the sound:
                  ``pool_local(encode_local(audio))`` is what ``encode_audio(audio)`` gives, or ``model(audio)`` of a model
                  that hears alone. ``encode_local`` returns maps (batch, map, time). With ``receptive_field = (field,
                  hop)`` in samples, place t in time depends on no others than the ``field`` samples around t · ``hop``.
                  Where that is less than a segment, many masks are looked up in a table
                  (`musiclime_torch.variants.local_maps`), and cost ``pool_local`` alone.
``embed_sound``, ``embed_lyrics``   ``embed_sound(audio)`` and ``embed_lyrics(text)`` -> (batch, feature): what songs are
                  compared by. Without them the two encoders of a late-fusion model are taken, or the outputs of a model
                  whose ``output_kind`` is "embedding".
``embed_query``   ``embed_query(queries: list[str]) -> (query, feature)``: directions of texts to compare a song with, in the
                  space of its sound or its lyrics, as ``query_side`` says ("audio" or "lyrics").
``asked_text``    a question whose words are components too: in the spans of ``tokenize`` its characters follow those of the
                  lyrics and a line break.
``forward_shared``, ``pair_cost``   a model that hears a sound once and then reads several lyrics, as a language model with
                  its prefix kept. ``forward_shared(audio, text, places)``: row r has sound ``places[r]`` and lyrics r.
                  ``pair_cost(frames, tokens)``: what lyrics with a sound that was heard cost, as a share of lyrics with a
                  new sound. What is kept of a sound, tensors or not, stays within the call. Each sound then gets a few
                  lyrics of its own, by this cost.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

#: The parts of a late-fusion model.
LATE_FUSION = ("encode_audio", "encode_text", "fuse")

#: A sound tower in two steps: maps over time whose frames hear little of the sound, and what is made of them.
LOCAL = ("encode_local", "pool_local")

#: What a model offers that keeps what it heard for further lyrics.
SHARING = ("forward_shared", "pair_cost")


@dataclass(frozen=True)
class Tokens:
    """Lyrics as the model's tokenizer cut them, once per song.

    ``spans`` gives the characters each token stands for, ``(0, 0)`` for special tokens, which are never masked.
    ``unread_from`` is the first character that the token limit cut off, None when all is read.
    """

    ids: Int[Tensor, "token"]  # noqa: F821
    spans: tuple[tuple[int, int], ...]
    mask_id: int | None = None
    pad_id: int | None = None
    unread_from: int | None = None


@dataclass(frozen=True)
class TokenBatch:
    """Altered lyrics on the device: token embeddings, and which tokens may be attended to.

    ``positions`` are the tokens' places in the song, None where token t stands at place t. Only a model that declares
    ``takes_positions`` gets them.
    """

    embeddings: Float[Tensor, "batch token dim"]
    attended: Bool[Tensor, "batch token"]
    positions: Int[Tensor, "batch token"] | None = None


@runtime_checkable
class EmbedsText(Protocol):
    """A model whose lyrics can be masked at its token embeddings."""

    def tokenize(self, text: str) -> Tokens:
        """Cut the lyrics into the model's tokens."""
        ...

    def embed_text(self, ids: Int[Tensor, "*batch token"]) -> Float[Tensor, "*batch token dim"]:
        """Look the embeddings of token ids up, before positions are added."""
        ...
