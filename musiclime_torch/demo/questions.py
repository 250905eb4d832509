"""The embedded music language model: what it can be asked, and short songs in which the causes of its answers are known.

A song is four half-bars of one second: four stems × four moments × eight words. What makes an answer Yes is a sound on one
stem at one moment, a word, or both together. The model is MusicFlamingo's class in small; `asking` trains it.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musiclime_torch.basics.errors import InputError
from musiclime_torch.demo.bundle import describe_cause, find_assets
from musiclime_torch.demo.plan import FILLER, SAMPLE_RATE, STEMS, STEPS, TAGS, Cause, SongPlan, spawn
from musiclime_torch.demo.song import render_stems, write_lyrics
from musiclime_torch.models.answering.answering import Answering, load_answering
from musiclime_torch.song.track import Track

#: What can be asked, and the causes, by tag and kind, all of which make the answer Yes. All questions have six tokens.
QUESTIONS = {
    "Is there a synth solo?": (("synth solo", "audio"),),
    "Is there a shouting crowd?": (("anthem", "audio"),),
    "Is this a romantic song?": (("love song", "word"),),
    "Is this song an anthem?": (("anthem", "audio"), ("anthem", "word")),
}
ANSWERS = ("Yes", "No")

#: The song of ``musiclime demo --ask``.
DEMO_SEED = 2_000_000

#: Half-bars of a song, and words of lyrics in each.
MOMENTS, WORDS = 4, 2

#: How often a song has each of the causes that questions are about: two fifths of songs are anthems.
_CHANCES = {("synth solo", "audio"): 0.5, ("anthem", "audio"): 0.65, ("love song", "word"): 0.5, ("anthem", "word"): 0.65}

#: What else a song may have, which none of the questions is about.
_OTHERS = (("drum fill", "audio"), ("bass drop", "audio"), ("lullaby", "audio"), ("lullaby", "word"), ("heartbreak", "word"))


#: Mel bands, and sizes of tower and language model.
MELS, TOWER, HIDDEN = 32, 48, 64

#: Spread of untrained weights: the library's 0.02 is for thousands of inputs, and here would silence every layer.
SPREAD = 0.1

_SPECIALS = ("<pad>", "<end>", "<user>", "<model>", "<sound>", "<begin>", "<stop>")
_CHAT = (
    "{% for m in messages %}<user>{% for c in m['content'] %}{% if c['type'] == 'audio' %}<sound>{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endfor %}<model>"
)


def plan_short_song(seed: int, planted: Collection[tuple[str, str]] | None = None) -> SongPlan:
    """A song of four seconds with exactly these of the causes that questions are about; drawn ones for ``planted=None``.

    >>> plan = plan_short_song(7, {("anthem", "word")})
    >>> answer_rightly(plan, "Is this song an anthem?"), len(find_reasons(plan, "Is this song an anthem?"))
    (False, 1)
    """
    rng = spawn(seed, "short")
    drawn = {cause for cause, chance in _CHANCES.items() if rng.random() < chance}
    kinds = [cause for cause in _CHANCES if cause in (drawn if planted is None else planted)]
    kinds += [other for other in _OTHERS if rng.random() < 0.25]
    places = {"audio": list(rng.permutation(MOMENTS)), "word": list(rng.permutation(MOMENTS * WORDS))}
    causes = tuple(
        Cause(tag, kind, int(places[kind].pop()), int(rng.integers(2**31))) for tag, kind in kinds if places[kind]
    )
    # 2,000 frames a step are 120 beats a minute: a half-bar is a second, which is a window of the model's tower.
    return SongPlan(seed, SAMPLE_RATE // STEPS, (WORDS,) * MOMENTS, MOMENTS // 2, causes)


def find_reasons(plan: SongPlan, question: str) -> tuple[Cause, ...]:
    """The causes in a song that its answer to a question depends on."""
    return tuple(cause for cause in plan.causes if (cause.tag, cause.kind) in QUESTIONS[question])


def answer_rightly(plan: SongPlan, question: str) -> bool:
    """Whether the right answer is Yes: all causes are there."""
    return len(find_reasons(plan, question)) == len(QUESTIONS[question])


def plan_fresh(seed: int, question: str, yes: bool) -> SongPlan:
    """A song to which the right answer is the given one; other causes are drawn, and a No lacks one cause at random."""
    rng, needed = spawn(seed, "fresh"), QUESTIONS[question]
    drawn = {(cause.tag, cause.kind) for cause in plan_short_song(seed).causes} & set(_CHANCES)
    lost = needed[rng.integers(len(needed))]
    return plan_short_song(seed, drawn | set(needed) if yes else drawn - {lost})


def render_short(plan: SongPlan) -> torch.Tensor:
    """The song's stems, (stem, frame)."""
    return torch.from_numpy(np.ascontiguousarray(render_stems(plan)[:, : MOMENTS * plan.half_bar]))


def make_short_track(plan: SongPlan) -> Track:
    """The song as a `Track`; cut into four segments and single words its components are stems × half-bars, then words."""
    return Track(
        stems=render_short(plan)[:, None],
        stem_names=STEMS,
        sample_rate=SAMPLE_RATE,
        lyrics=write_lyrics(plan),
        title=f"generated short song {plan.seed}",
        source="generated by musiclime_torch.demo",
    )


def find_short_column(cause: Cause) -> int:
    """The cause's component where a short song is cut into four segments and single words.

    >>> find_short_column(Cause("synth solo", "audio", 3, 0)), find_short_column(Cause("love song", "word", 5, 0))
    (11, 21)
    """
    if cause.stem is not None:
        return STEMS.index(cause.stem) * MOMENTS + cause.place
    return len(STEMS) * MOMENTS + cause.place


def find_question(asked: str) -> str:
    """The question as the model knows it; case and the mark at the end don't matter. InputError for one it doesn't know."""
    for question in QUESTIONS:
        if question.rstrip("?").casefold() == " ".join(asked.split()).rstrip(" ?").casefold():
            return question
    known = ", ".join(map(repr, QUESTIONS))
    raise InputError(f"the embedded model doesn't know the question {asked!r}: choose one of {known}.", argument="ask")


def find_model() -> Path:
    """The folder of the embedded music language model."""
    return find_assets() / "asking"


def load_demo_answering(question: str, answers: Sequence[str] = ANSWERS, **options: Any) -> Answering:
    """The embedded music language model, asked; options are those of `load_answering`."""
    return give_name(load_answering(str(find_model()), find_question(question), answers, **options))


def give_name(model: Answering) -> Answering:
    """The same model under its name, in place of the folder that it was read from."""
    model.name = "the embedded music language model"
    return model


def load_short_demo() -> tuple[SongPlan, Track]:
    """A song to all questions about which the answer is Yes, and what was planted in it."""
    plan = plan_short_song(DEMO_SEED, _CHANCES)
    return plan, make_short_track(plan)


def describe_reasons(plan: SongPlan, question: str) -> str:
    """What was planted in a song that the answer depends on: what an explanation should find."""
    return f"Planted in this song:\n  {' and '.join(describe_cause(plan, cause) for cause in find_reasons(plan, question))}"


def make_processor() -> Any:
    """A word a token, and the sound's features in windows of a second."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import MusicFlamingoProcessor, PreTrainedTokenizerFast, WhisperFeatureExtractor

    asked = {word for question in QUESTIONS for word in question.rstrip("?").split()}
    words = {*FILLER, *(word for tag in TAGS.values() for word in tag.words), *asked, *ANSWERS, "Lyrics", ":", "\n", "?"}
    vocabulary = {word: number for number, word in enumerate((*_SPECIALS, "<unk>", *sorted(words)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    # Special tokens whole, words with their apostrophes, line breaks, any other mark by itself; spaces are dropped.
    pieces = Regex(r"<\w+>|\w+(?:'\w+)*|\n|[^\w\s]")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pieces, "removed", invert=True)
    tokenizer.add_special_tokens(list(_SPECIALS))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
    extractor = WhisperFeatureExtractor(feature_size=MELS, chunk_length=1, sampling_rate=SAMPLE_RATE)
    marks = {"audio_token": "<sound>", "audio_bos_token": "<begin>", "audio_eos_token": "<stop>"}
    return MusicFlamingoProcessor(extractor, fast, chat_template=_CHAT, **marks)


def make_untrained(processor: Any, seed: int) -> Any:
    """The real class with random weights."""
    from transformers import (
        AudioFlamingo3EncoderConfig,
        MusicFlamingoConfig,
        MusicFlamingoForConditionalGeneration,
    )

    ids = processor.tokenizer.convert_tokens_to_ids
    tower = AudioFlamingo3EncoderConfig(
        num_mel_bins=MELS, num_hidden_layers=1, num_attention_heads=2, intermediate_size=2 * TOWER, hidden_size=TOWER,
        max_source_positions=50, initializer_range=SPREAD,
    )  # fmt: skip
    language = {
        "model_type": "qwen2", "vocab_size": len(processor.tokenizer), "hidden_size": HIDDEN, "intermediate_size": 160,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "pad_token_id": ids("<pad>"), "initializer_range": SPREAD,
    }  # fmt: skip
    marks = (("token", "<sound>"), ("bos_token", "<begin>"), ("eos_token", "<stop>"))
    options: dict[str, Any] = {f"audio_{name}_id": ids(mark) for name, mark in marks} | {"initializer_range": SPREAD}
    config = MusicFlamingoConfig(audio_config=tower.to_dict(), text_config=language, **options)
    # The caller's random state must not move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MusicFlamingoForConditionalGeneration(config)
