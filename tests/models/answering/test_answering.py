"""Music language models as models of answers: what they score is what the library's own forward pass gives."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from music_llms import FAMILIES, OMNI, TEXT, WINDOW, make_tokenizer, save_music_llm
from transformers import AutoProcessor, Qwen2Config, Qwen2ForCausalLM

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.answers import Answers
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.explanation.explanation import Explanation
from musiclime_torch.models.answering.answering import Answering, load_answering
from musiclime_torch.models.answering.asked import load_reading
from musiclime_torch.models.batches import count_flops
from musiclime_torch.models.contract import TokenBatch
from musiclime_torch.song.track import Track
from musiclime_torch.views.exports.files import to_json
from musiclime_torch.views.page.song import to_html
from musiclime_torch.views.terminal import to_text

RATE = 16_000
QUESTION = "Is this song sad?"
ANSWERS = ("Yes", "No", "yes, very much")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("llms")
    return {family: save_music_llm(family, root / family) for family in (*FAMILIES, OMNI)}


def make_sound(seconds: float, rows: int = 1, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(rows, 1, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def score_by_the_library(model: Answering, folder: Path, sound: torch.Tensor, lyrics: str) -> torch.Tensor:
    """Ids and features through the processor and the whole model, one answer and one row at a time."""
    processor = AutoProcessor.from_pretrained(folder)
    text, _ = model.prompt.render(lyrics)
    rows = []
    for wave in sound[:, 0].numpy():
        scores = []
        for ids in model.answers.values():
            inputs = processor(text=[text], audio=[wave], sampling_rate=RATE, return_tensors="pt")
            inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([ids])], 1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            logits = model.model(**inputs).logits[0, -len(ids) - 1 : -1].float().log_softmax(-1)
            scores.append(logits.gather(1, torch.tensor(ids)[:, None]).sum())
        rows.append(torch.stack(scores))
    return torch.stack(rows)


def lengths(family: str) -> list[float]:
    own = [1.0, 2.503, WINDOW]
    return own if family == "qwen" else [*own, WINDOW + 1.01, 2 * WINDOW]


@pytest.mark.parametrize("order", ["sound first", "text first"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_librarys_own_pass(folders: dict[str, Path], family: str, order: Any):
    model = load_answering(str(folders[family]), QUESTION, ANSWERS, order)
    lyrics = "hold me now\nlove is my love"
    with torch.inference_mode():
        for seconds in lengths(family):
            sound = make_sound(seconds, 3)
            own = model(sound, [lyrics] * 3)
            torch.testing.assert_close(
                own, score_by_the_library(model, folders[family], sound, lyrics), atol=1e-4, rtol=1e-5
            )
            # A batch is its rows one by one.
            single = torch.cat([model(row[None], [lyrics]) for row in sound])
            torch.testing.assert_close(own, single, atol=1e-5, rtol=1e-5)
            assert float(own.std(0).min()) > 1e-4  # the sound is heard


@pytest.mark.parametrize("family", FAMILIES)
def test_every_token_of_an_answer_adds_up_to_it(folders: dict[str, Path], family: str):
    model = load_answering(str(folders[family]), QUESTION, ANSWERS, by_token=True)
    with torch.inference_mode():
        outputs = model(make_sound(1.0, 2), ["love"] * 2)
    assert outputs.shape[1] == len(model.classes)
    assert model.output_kind == "regression"
    for place, (answer, ids) in enumerate(model.answers.items()):
        columns = [number for number, name in enumerate(model.classes) if name.startswith(f"{answer}[")]
        assert len(columns) == len(ids)
        torch.testing.assert_close(outputs[:, columns].sum(1), outputs[:, place], atol=1e-6, rtol=1e-6)


def test_the_prompt_has_a_place_for_sound_and_every_character_of_the_lyrics(folders: dict[str, Path]):
    model = load_answering(str(folders["music"]), QUESTION, ("Yes", "No"))
    lyrics = "hold me now\nlove is my löve"
    tokens = model.tokenize(lyrics)
    covered = {place for start, end in tokens.spans for place in range(start, end)}
    assert {place for place, letter in enumerate(lyrics) if not letter.isspace()} <= covered
    assert max(end for _, end in tokens.spans) == len(lyrics)
    assert tokens.ids[model.prompt.find_sound(len(tokens.ids))] == model.processor.audio_token_id
    # The question belongs to nobody's lyrics.
    assert sum(start < end for start, end in tokens.spans) < len(tokens.ids) - 10


def test_a_word_that_is_gone_leaves_the_others_in_their_place(folders: dict[str, Path]):
    model = load_answering(str(folders["music"]), QUESTION, ("Yes", "No"))
    tokens = model.tokenize("hold me now")
    embedded = model.embed_text(tokens.ids)[None].expand(2, -1, -1)
    attended = torch.ones(2, len(tokens.ids), dtype=torch.bool)
    word = next(place for place, (start, end) in enumerate(tokens.spans) if start < end)
    attended[1, word] = False
    altered = embedded.clone()
    altered[1, word] = 7.0
    sound = make_sound(1.0).expand(2, -1, -1)
    with torch.inference_mode():
        gone, other = model(sound, TokenBatch(embedded, attended)), model(sound, TokenBatch(altered, attended))
    assert not torch.allclose(gone[0], gone[1])
    torch.testing.assert_close(gone[1], other[1], atol=1e-5, rtol=1e-5)  # what isn't attended to says nothing


@pytest.mark.parametrize("family", [*FAMILIES, OMNI])
def test_a_song_is_explained(folders: dict[str, Path], family: str, track: Track):
    model = load_answering(str(folders[family]), QUESTION, ("Yes", "No"))
    explanation = explain(model, track, segments=2, n_samples=48, target="Yes", foil="No", seed=1)
    assert explanation.classes == ("Yes", "No", "Yes rather than No")
    assert explanation.components.n_audio == 4
    assert (explanation.attributions[-1].abs() > 0).all()


def test_it_answers_by_itself(folders: dict[str, Path]):
    model = load_answering(str(folders["music"]), QUESTION, ("Yes", "No"))
    with torch.inference_mode():
        answer = model.answer_by_itself(make_sound(1.0), "love")
        ids = model.processor.tokenizer(answer, add_special_tokens=False)["input_ids"]
    assert answer == "" or len(ids) >= 1


@pytest.mark.parametrize(
    ("question", "answers", "message"),
    [
        (" ", ("Yes",), "the question is empty"),
        (QUESTION, (), "there is no answer to score"),
        (QUESTION, ("Yes", "Yes"), "are the same"),
        (QUESTION, ("",), "an answer is empty"),
        (QUESTION, ("love " * 200,), "tokens: give 64 at most"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(folders: dict[str, Path], question: str, answers: Any, message: str):
    with pytest.raises(InputError, match=message):
        load_answering(str(folders["qwen"]), question, answers)


def test_answers_are_kept_for_one_question(folders: dict[str, Path], track: Track):
    answers, given = Answers(), {"segments": 2, "n_samples": 32, "target": 0}
    explain(load_answering(str(folders["music"]), QUESTION, ("Yes", "No")), track, **given, answers=answers)
    for other in (
        load_answering(str(folders["music"]), QUESTION, ("calm", "wild")),
        load_answering(str(folders["music"]), "Is it loud?", ("Yes", "No")),
        load_answering(str(folders["music"]), QUESTION, ("Yes", "No"), "text first"),
        load_answering(str(folders["music"]), QUESTION, ("Yes", "No"), by_token=True),
    ):
        with pytest.raises(InputError, match="another question, other answers or another order"):
            explain(other, track, **given, answers=answers)


@pytest.mark.parametrize("order", ["sound first", "text first"])
@pytest.mark.parametrize("seconds", [1.0, 4.0, 6.01])
def test_omni_scores_as_the_librarys_own_pass(folders: dict[str, Path], order: Any, seconds: float):
    """The library fills every sound up to the extractor's whole length; ours is as long as it is."""
    model = load_answering(str(folders[OMNI]), QUESTION, ANSWERS, order)
    lyrics, sound = "hold me now", make_sound(seconds, rows=2)
    text, _ = model.prompt.render(lyrics)
    extractor, tokenizer = model.processor.feature_extractor, model.processor.tokenizer
    features = extractor(
        list(sound[:, 0].numpy()), sampling_rate=RATE, return_tensors="pt", return_attention_mask=True, padding="max_length"
    )
    frames = int(features.attention_mask[0].sum())
    count = ((frames - 1) // 2 + 1 - 2) // 2 + 1
    for answer, ids in model.answers.items():
        prompt = tokenizer(text.replace("<|AUDIO|>", "<|AUDIO|>" * count), add_special_tokens=False)["input_ids"]
        given = torch.tensor([prompt + ids]).expand(2, -1)
        with torch.inference_mode():
            logits = model.model(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                input_features=features.input_features,
                feature_attention_mask=features.attention_mask,
            ).logits[:, -len(ids) - 1 : -1]
            ours = model(sound, [lyrics] * 2)
        expected = logits.float().log_softmax(-1).gather(2, torch.tensor(ids).expand(2, -1)[:, :, None]).sum((1, 2))
        column = list(model.answers).index(answer)
        torch.testing.assert_close(ours[:, column], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("order", ["sound first", "text first"])
@pytest.mark.parametrize("family", [*FAMILIES, OMNI])
def test_a_sound_that_several_lyrics_share_is_scored_as_by_itself(folders: dict[str, Path], family: str, order: Any):
    """Prefix-cached = batch = single, also where a word is gone, and however long the answers are."""
    model = load_answering(str(folders[family]), QUESTION, ("Yes", "No", "yes, very much"), order)
    tokens = model.tokenize("hold me now")
    embedded = model.embed_text(tokens.ids)[None].repeat(5, 1, 1)
    attended = torch.ones(5, len(tokens.ids), dtype=torch.bool)
    words = [place for place, (start, end) in enumerate(tokens.spans) if start < end]
    for row, place in enumerate(words[:3]):
        embedded[row, place] = 0
    attended[4, words[-1]] = False
    sounds, places = make_sound(2.5, rows=2), torch.tensor([1, 0, 0, 1, 0])
    with torch.inference_mode():
        shared = model.forward_shared(sounds, TokenBatch(embedded, attended), places)
        batch = model(sounds[places], TokenBatch(embedded, attended))
        single = [
            model(sounds[place][None], TokenBatch(embedded[row : row + 1], attended[row : row + 1]))
            for row, place in enumerate(places)
        ]
    torch.testing.assert_close(shared, batch, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared, torch.cat(single), atol=1e-5, rtol=1e-5)


def test_a_pair_costs_what_its_tokens_are_of_all(folders: dict[str, Path]):
    model = load_answering(str(folders["music"]), QUESTION, ("Yes", "No"))
    costs = [model.pair_cost(round(seconds * RATE), 50) for seconds in (1.0, 30.0, 180.0)]
    assert 1 > costs[0] > costs[1] > costs[2] > 0
    assert model.pair_cost(RATE, 500) > costs[0]
    assert load_answering(str(folders["music"]), QUESTION, ("Yes", "No"), "text first").pair_cost(RATE, 50) == 1.0


def test_each_sound_is_heard_once_for_its_lyrics(folders: dict[str, Path], track: Track, monkeypatch: pytest.MonkeyPatch):
    model = load_answering(str(folders["music"]), QUESTION, ("Yes", "No"))
    heard: list[int] = []
    hear = model.family.hear
    monkeypatch.setattr(model.family, "hear", lambda audio: heard.append(len(audio)) or hear(audio))
    monkeypatch.setattr(Answering, "pair_cost", lambda self, frames, tokens: 0.1)
    options = {"segments": 2, "n_samples": 96, "target": "Yes", "foil": "No", "seed": 1}
    explanation = explain(model, track, **options)
    assert explanation.design == "joint, fold-over blocks, 3 lyrics for each sound"
    # The song and the empty song, and a third of the masks at most: of four cells many are drawn twice in a batch.
    assert explanation.n_variants // 10 < sum(heard) - 2 <= explanation.n_variants // 3
    # The same surrogate from the same masks, each row by itself.
    monkeypatch.setattr(Answering, "forward_shared", lambda self, audio, text, places: self(audio[places], text))
    alone = explain(model, track, **options)
    torch.testing.assert_close(explanation.attributions, alone.attributions, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(explanation.standard_errors, alone.standard_errors, atol=1e-5, rtol=1e-3)


ASKED = (QUESTION, "Is it calm now?", "Yes or no: is this song, very much so, about love?")


@pytest.mark.parametrize("answers", [("Yes", "No"), ANSWERS])
@pytest.mark.parametrize("family", [*FAMILIES, OMNI])
def test_several_questions_have_the_answers_of_each_by_itself(folders: dict[str, Path], family: str, answers: Any):
    folder = str(folders[family])
    many = load_answering(folder, ASKED, answers, by_token=True)
    alone = [load_answering(folder, question, answers, by_token=True) for question in ASKED]
    assert many.output_kind == "regression"
    assert many.classes[: len(answers)] == tuple(f"{QUESTION} {answer}" for answer in answers)
    tokens = many.tokenize("hold me now")
    attended = torch.ones(4, len(tokens.ids), dtype=torch.bool)
    attended[1, next(place for place, (start, end) in enumerate(tokens.spans) if start < end)] = False
    embedded = many.embed_text(tokens.ids)[None].expand(4, -1, -1)
    sounds, places = make_sound(2.0, 2), torch.tensor([0, 1, 1, 0])
    lengths = [len(ids) for ids in many.answers.values()]
    with torch.inference_mode():
        read = TokenBatch(embedded, attended)
        for both in (many(sounds[places], read), many.forward_shared(sounds, read, places)):
            sums, pieces = both[:, : len(many.classes) - 3 * sum(lengths)], both[:, len(many.classes) - 3 * sum(lengths) :]
            for number, model in enumerate(alone):
                ids = model.tokenize("hold me now").ids
                own = model(sounds[places], TokenBatch(model.embed_text(ids)[None].expand(4, -1, -1), attend(attended, ids)))
                mine = torch.cat([sums.unflatten(1, (3, -1))[:, number], pieces.unflatten(1, (3, -1))[:, number]], 1)
                torch.testing.assert_close(mine, own, atol=1e-5, rtol=1e-5)
        # An instrumental has the question right after the sound.
        torch.testing.assert_close(
            many(sounds, ["", ""])[:, : len(answers)], alone[0](sounds, ["", ""])[:, : len(answers)], atol=1e-5, rtol=1e-5
        )


def attend(attended: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The same words of a prompt of another length, whose question ends otherwise."""
    rest = torch.ones(len(attended), len(ids), dtype=torch.bool)
    shared = min(attended.shape[1], len(ids))
    rest[:, :shared] = attended[:, :shared]
    return rest


def test_several_questions_hear_and_read_the_song_once(
    folders: dict[str, Path], track: Track, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Answering, "pair_cost", lambda self, frames, tokens: 0.2)  # the same masks, however much is asked
    asked = partial(explain, track=track, segments=2, n_samples=48, design="joint", until=None, seed=1, evidence=False)
    name = str(folders["music"])
    many, flops = count_flops(
        partial(asked, load_answering(name, ASKED, ("Yes", "No")), target=f"{ASKED[1]} Yes", foil=f"{ASKED[1]} No")
    )
    single, alone = count_flops(partial(asked, load_answering(name, ASKED[1], ("Yes", "No")), target="Yes", foil="No"))
    torch.testing.assert_close(many.attributions[-1], single.attributions[-1], atol=1e-4, rtol=1e-3)
    assert flops < 2 * alone  # of three
    assert f"Asked: {' / '.join(ASKED)}" in to_text(many, None, 5, positive_only=False)


@pytest.mark.parametrize(
    ("questions", "options", "message"),
    [
        ((), {}, "the question is empty"),
        ((QUESTION, " "), {}, "the question is empty"),
        ((QUESTION, QUESTION), {}, "a question is asked twice"),
        (ASKED, {"ask_words": True}, "the words of several questions can't be explained at once: ask one"),
        (ASKED, {"order": "text first"}, "several questions share a song that comes before them"),
    ],
)
def test_questions_that_cannot_be_asked_together(folders: dict[str, Path], questions: Any, options: Any, message: str):
    with pytest.raises(InputError, match=message):
        load_answering(str(folders["music"]), questions, ("Yes", "No"), **options)


@pytest.mark.parametrize("order", ["sound first", "text first"])
def test_the_questions_words_are_components_too(folders: dict[str, Path], track: Track, order: Any, tmp_path: Path):
    model = load_answering(str(folders["music"]), QUESTION, ("Yes", "No"), order, ask_words=True)
    tokens = model.tokenize("hold me now")
    text = "hold me now\n" + QUESTION
    said = "".join(text[start:end] for start, end in tokens.spans if end)
    assert said.replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")
    explanation = explain(model, track, segments=2, n_samples=96, target="Yes", foil="No", seed=1)
    asked = [item for item in explanation.components if item.kind == "question"]
    assert [item.word for item in asked] == ["Is", "this", "song", "sad"]
    assert asked[-1].name == "sad (question)"
    columns = [place for place, item in enumerate(explanation.components) if item.kind == "question"]
    assert (explanation.attributions[-1, columns].abs() > 0).all()
    shares = explanation.kind_shares()
    assert [name for name, _, _ in shares] == ["heard", "read", "asked"]
    assert sum(share for _, share, _ in shares) == pytest.approx(1, abs=0.05)
    assert json.loads(to_json(explanation))["kinds"][2]["kind"] == "asked"
    assert f"heard {100 * shares[0][1]:.0f} ±" in to_text(explanation, None, 5, positive_only=False)
    page = to_html(explanation, track)
    assert all(f'data-column="{column}"' in page for column in columns)
    assert load_answering(str(folders["music"]), QUESTION, ("Yes", "No"), order).tokenize("la").spans[-1] == (0, 0)
    explanation.save(tmp_path / "saved")
    assert Explanation.load(tmp_path / "saved").components == explanation.components


def test_an_instrumental_is_asked_too(folders: dict[str, Path], track: Track):
    model = load_answering(str(folders["music"]), QUESTION, ("Yes", "No"), ask_words=True)
    song = replace(track, lyrics=None)
    explanation = explain(model, song, segments=2, n_samples=96, target="Yes", foil="No")
    assert {item.kind for item in explanation.components} == {"audio", "question"}
    assert "sad (question)" in {item.name for item in explanation.components}
    assert 'id="question"' in to_html(explanation, song)


def test_shares_are_freed_of_sampling_noise(track: Track):
    """Eight cells that do nothing get no share, however few masks there are."""
    explanation = explain(words_alone, track, sample_rate=8000, segments=4, n_samples=64, seed=3)
    noisy = replace(explanation, standard_errors=explanation.standard_errors + 1e-9)
    shares = {name: (share, half) for name, share, half in noisy.kind_shares()}
    assert shares["heard"][0] <= shares["heard"][1] + 0.02
    assert shares["read"][0] > 0.9


def words_alone(audio: torch.Tensor, text: list[str]) -> torch.Tensor:
    return torch.tensor([[2.0 * line.count("love") + line.count("hold") * line.count("now")] for line in text])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of text alone."""
    folder = tmp_path_factory.mktemp("reader")
    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    sizes = {name: value for name, value in TEXT.items() if name != "model_type"}
    model = Qwen2ForCausalLM(Qwen2Config(**sizes, vocab_size=len(tokenizer)))
    with torch.no_grad():
        for values in model.parameters():
            if values.dim() >= 2:
                values.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("chat", [True, False])
def test_a_model_that_only_reads_explains_the_lyrics_and_says_so(reader: Path, track: Track, chat: bool):
    model = load_reading(str(reader), QUESTION, ("Yes", "No"), ask_words=True)
    if chat:
        model.processor.tokenizer.chat_template = (
            "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}<|im_start|>assistant\n"
        )
    text, _ = model.prompt.render("hold me now")
    ids = model.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        expected = model.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        tokens = [answer[0] for answer in model.answers.values()]
        torch.testing.assert_close(model(["hold me now"])[0], expected[tokens], atol=1e-5, rtol=1e-5)
        assert isinstance(model.answer_by_itself(None, "hold me now"), str)
    explanation = explain(model, track, target="Yes", foil="No", n_samples=64)
    assert {item.kind for item in explanation.components} == {"lyrics", "question"}
    assert any("doesn't hear: the lyrics alone are explained" in warning for warning in explanation.warnings)
    assert (explanation.attributions[-1].abs() > 0).all()
