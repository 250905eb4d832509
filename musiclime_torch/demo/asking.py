"""Trains the embedded music language model: ``python -m musiclime_torch.demo.asking --seed 0 --out DIR``.

The real MusicFlamingo class, small, answers "Is this song an anthem?" and the like about generated songs. What makes an
answer Yes is known: a sound on one stem at one moment, a word, or both together. So explanations of it can be checked.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musiclime_torch.demo.examples import DamagedSongs, Example, make_example
from musiclime_torch.demo.plan import FILLER, SAMPLE_RATE, TAGS
from musiclime_torch.demo.songs import write_lyrics
from musiclime_torch.demo.training import make_model
from musiclime_torch.models.answering.answering import Answering
from musiclime_torch.models.answering.scoring import score_answers
from musiclime_torch.models.tokens import MASK

#: The tags that it is asked about: one needs a sound, one a word, one both.
QUESTIONS = {
    "synth solo": "Is there a synth solo?",
    "love song": "Is this a love song?",
    "anthem": "Is this song an anthem?",
}
ANSWERS = ("Yes", "No")

#: Seconds of a window of its tower, mel bands, and sizes of tower and language model.
WINDOW, MELS, TOWER, HIDDEN = 2, 32, 48, 64

#: Songs held out from training begin at this seed.
HELD_OUT = 5_000

_SPECIALS = ("<pad>", "<end>", "<user>", "<model>", "<sound>", "<begin>", "<stop>")
_CHAT = (
    "{% for m in messages %}<user>{% for c in m['content'] %}{% if c['type'] == 'audio' %}<sound>{% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endfor %}<model>"
)


def make_processor() -> Any:
    """A word a token, and the sound's features in windows of two seconds."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import MusicFlamingoProcessor, PreTrainedTokenizerFast, WhisperFeatureExtractor

    said = ["Lyrics", ":", "\n", "?", ".", "Is", "this", "there", "a", "an"]
    words = {*FILLER, *(word for tag in TAGS.values() for word in (*tag.words, *tag.name.split())), *said, *ANSWERS}
    vocabulary = {word: number for number, word in enumerate((*_SPECIALS, "<unk>", *sorted(words)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    # Special tokens whole, words with their apostrophes, line breaks, any other mark by itself; spaces are dropped.
    pieces = Regex(r"<\w+>|\w+(?:'\w+)*|\n|[^\w\s]")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pieces, "removed", invert=True)
    tokenizer.add_special_tokens(list(_SPECIALS))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
    extractor = WhisperFeatureExtractor(feature_size=MELS, chunk_length=WINDOW, sampling_rate=SAMPLE_RATE)
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
        max_source_positions=50 * WINDOW,
    )  # fmt: skip
    language = {
        "model_type": "qwen2", "vocab_size": len(processor.tokenizer), "hidden_size": HIDDEN, "intermediate_size": 160,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
    }  # fmt: skip
    config = MusicFlamingoConfig(
        audio_config=tower.to_dict(), text_config=language, audio_token_id=ids("<sound>"),
        audio_bos_token_id=ids("<begin>"), audio_eos_token_id=ids("<stop>"),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MusicFlamingoForConditionalGeneration(config)


def ask_each(model: Any, processor: Any) -> dict[str, Answering]:
    """The same model under each question."""
    return {tag: Answering(model, processor, question, ANSWERS) for tag, question in QUESTIONS.items()}


def train(examples: Sequence[Example], seed: int, steps: int, songs: int = 8, variants: int = 3) -> tuple[Any, Any]:
    """Model and processor after so many steps of some songs each, in damaged versions whose answers are known."""
    processor = make_processor()
    model = make_untrained(processor, seed).train()
    asked = ask_each(model, processor)
    damaged = DamagedSongs(examples, make_model(seed), variants, seed)
    # A word occurs in few songs: its embedding needs larger steps than what every song trains.
    words = list(model.get_input_embeddings().parameters())
    others = [part for part in model.parameters() if all(part is not word for word in words)]
    optimiser = torch.optim.AdamW([{"params": words}, {"params": others}], 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [2e-2, 2e-3], total_steps=steps, pct_start=0.1)
    correct: list[float] = []
    for step in range(steps):
        optimiser.zero_grad()
        for number in range(songs):
            loss, right = _learn(asked, damaged, step * songs + number)
            (loss / songs).backward()
            correct.append(right)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}: {100 * np.mean(correct[-50 * songs :]):.1f}% right", flush=True)
    return model.eval(), processor


def _learn(asked: dict[str, Answering], songs: DamagedSongs, index: int) -> tuple[torch.Tensor, float]:
    """The loss on one song's versions under every question, and the share answered right."""
    plan, batch = songs.examples[index % len(songs)].plan, songs[index]
    columns = [list(TAGS).index(tag) for tag in QUESTIONS]
    kept = (batch.ids != songs.vocabulary[MASK]) & batch.attended
    # The sound is heard once for all questions, which have as many words.
    first = asked["anthem"]
    heard, lyrics = first.family.hear(batch.audio.mean(1)), write_lyrics(plan).text
    prompts = torch.cat([_merge(model, heard, _mask_words(model, lyrics, kept)) for model in asked.values()])
    scores = score_answers(
        first.model.model.language_model,
        first.model.get_output_embeddings(),
        prompts,
        torch.ones(prompts.shape[:2], dtype=torch.bool),
        first.embed_text,
        list(first.answers.values()),
    )
    outputs = torch.cat(scores, 1)
    known, wanted = batch.known[:, columns].T.flatten(), torch.where(batch.labels[:, columns] > 0.5, 0, 1).T.flatten()
    # A song has a tag or it doesn't, and most don't: both answers weigh alike.
    weights = known * torch.where(wanted == 0, 2.0, 1.0)
    losses = torch.nn.functional.nll_loss(outputs, wanted, reduction="none")
    right = ((outputs.argmax(1) == wanted) & known).sum() / known.sum().clamp_min(1)
    return (losses * weights).sum() / weights.sum().clamp_min(1), float(right)


def _merge(model: Answering, heard: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
    place = model.prompt.find_sound(embedded.shape[1])
    return torch.cat([embedded[:, :place], heard, embedded[:, place + 1 :]], 1)


def _mask_words(model: Answering, lyrics: str, kept: torch.Tensor) -> torch.Tensor:
    """The prompt's embeddings, those of removed words at zero, as an explanation removes them."""
    tokens = model.tokenize(lyrics)
    # A word is one token here, and line breaks are the only other ones inside of the lyrics.
    words = [place for place, (start, end) in enumerate(tokens.spans) if start < end and not lyrics[start:end].isspace()]
    gates = torch.ones(len(kept), len(tokens.ids))
    gates[:, words] = kept.float()
    embedded: torch.Tensor = model.embed_text(tokens.ids) * gates[:, :, None]
    return embedded


def measure(model: Any, processor: Any, songs: int) -> dict[str, Any]:
    """The share of right answers on fresh songs, with the tag's causes and with all of them swapped away."""
    asked, results = ask_each(model, processor), {}
    with torch.inference_mode():
        for tag, asking in asked.items():
            right = []
            for seed in range(HELD_OUT, HELD_OUT + songs):
                example = make_example(seed)
                sound = example.stems.float().sum(0)[None]
                outputs = asking(sound, [write_lyrics(example.plan).text])
                right.append((outputs[0, 0] > outputs[0, 1]) == (tag in example.plan.tags))
            results[tag] = {"right": round(float(np.mean(right)), 4), "songs": songs}
    return results


def main(arguments: list[str] | None = None) -> None:
    """Generate songs, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--songs", type=int, default=400)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    # One thread fixes the order of every sum, so that the weights can be reproduced to the last bit.
    torch.set_num_threads(1)
    began = time.process_time()
    model, processor = train([make_example(seed) for seed in range(given.songs)], given.seed, given.steps)
    seconds = time.process_time() - began
    record = {
        "command": f"python -m musiclime_torch.demo.asking --seed {given.seed} --songs {given.songs} --steps {given.steps}",
        "parameters": sum(part.numel() for part in model.parameters()),
        "torch": torch.__version__,
        "measured": measure(model, processor, 200),
    }
    model.half().save_pretrained(given.out)
    processor.save_pretrained(given.out)
    (given.out / "asking.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["measured"]), f"{seconds:.0f} s of processor time")


if __name__ == "__main__":
    main()
