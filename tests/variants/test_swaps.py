"""Other words for words: by hand, and by a tiny masked language model saved as the hub has them."""

from pathlib import Path

import pytest
import torch
from tiny_hub import ROBERTA, make_tokenizer, roberta_config, save_text_classifier
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, RobertaForMaskedLM

from musiclime_torch.basics.errors import InputError
from musiclime_torch.explanation.explainer import explain
from musiclime_torch.models.subject import describe_model
from musiclime_torch.models.text_classifiers import make_text_classifier
from musiclime_torch.song.lyrics.lyrics import Lyrics, parse_lyrics
from musiclime_torch.song.track import Track
from musiclime_torch.variants.swaps import guess_words, swap_words
from musiclime_torch.variants.words import gate_swaps, mask_lyrics

CPU = torch.device("cpu")


def spans_of(lyrics: Lyrics) -> tuple[tuple[tuple[int, int], ...], ...]:
    return tuple(((word.start, word.end),) for word in lyrics.words)


def save_bert(folder: Path, bias: dict[str, float]) -> Path:
    """A language model whose answer is always the same: these words, by their scores."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##ing", "'", "happy", "day", "sad", "night", "the", "is", "7"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**ROBERTA, vocab_size=len(words), max_position_embeddings=40))
    torch.nn.init.zeros_(model.cls.predictions.decoder.weight)
    scores = torch.tensor([bias.get(word, -5.0) for word in words])
    model.cls.predictions.decoder.bias.data = scores
    model.cls.predictions.bias.data = scores
    model.save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_words_by_hand_keep_their_case_and_stand_in_every_column_that_holds_them():
    lyrics = parse_lyrics("Sad is the night\nthe SAD night is mine")
    columns = swap_words(lyrics, spans_of(lyrics), "sad=happy", CPU)
    assert [[word for *_, word in column] for column in columns] == [["Happy"], [], [], [], [], ["HAPPY"], [], [], []]
    lines = tuple(((line.start, line.end),) for line in lyrics.lines)
    both = swap_words(lyrics, lines, "sad=happy, night=day", CPU)
    assert [[word for *_, word in column] for column in both] == [["Happy", "day"], ["HAPPY", "day"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [("sad is the night", "the word 'nihgt' isn't in the lyrics (did you mean 'night'?)."), ("", "no lyrics")],
)
def test_a_word_that_is_not_there_is_refused(text: str, said: str):
    lyrics = parse_lyrics(text)
    with pytest.raises(InputError) as caught:
        swap_words(lyrics, spans_of(lyrics), "nihgt=day", CPU)
    assert said in str(caught.value)
    with pytest.raises(InputError, match="there are no lyrics"):
        swap_words(None, (), "night=day", CPU)


def test_the_best_other_word_is_guessed(tmp_path: Path):
    """Pieces of words, numbers and the word itself are no other word."""
    folder = save_bert(tmp_path / "bert", {"##ing": 9, "7": 8, "happy": 7, "day": 6})
    lyrics = parse_lyrics("sad night happy Night")
    told: list[int] = []
    assert guess_words(lyrics, str(folder), CPU, told.append) == ["happy", "happy", "day", "Happy"]
    assert told == [4]


def test_byte_level_models_guess_whole_words(tmp_path: Path):
    torch.manual_seed(0)
    RobertaForMaskedLM(roberta_config()).save_pretrained(tmp_path)
    tokenizer = make_tokenizer(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    lyrics = parse_lyrics("hold me now\nlove is my love")
    guessed = guess_words(lyrics, str(tmp_path), CPU)
    assert guessed == guess_words(lyrics, str(tmp_path), CPU)
    for word, other in zip(lyrics.words, guessed, strict=True):
        assert other is None or (other.isalpha() and other.casefold() != word.text.casefold())
        assert other is None or tokenizer.tokenize(f" {other}")[0].startswith("Ġ")
    assert any(guessed)


def test_what_is_no_masked_language_model_is_refused(tmp_path: Path):
    folder = save_text_classifier(tmp_path / "roberta", "roberta")
    with pytest.raises(InputError, match=r"lacks .*lm_head"):
        guess_words(parse_lyrics("sad night"), str(folder), CPU)
    with pytest.raises(InputError, match="is not a folder here"):
        guess_words(parse_lyrics("sad night"), "nobody/nothing", CPU)


@pytest.mark.parametrize("kind", ["roberta", "bert"])
@pytest.mark.parametrize("asked", ["me=go, love=tonight", "me=don't go away, love=my"])
def test_a_model_of_tokens_reads_the_text_with_the_other_word(tmp_path: Path, lyrics: Lyrics, kind: str, asked: str):
    """Of as many tokens or of more or fewer: its output is that of the text itself, tokenized again."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = save_text_classifier(tmp_path / kind, kind)
    module = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = make_text_classifier(module, tokenizer)
    track = Track(torch.zeros(1, 1, 100), ("mix",), 8000, lyrics)
    explanation = explain(model, track, lyrics_baseline=asked, design="joint")
    pairs = dict(pair.split("=") for pair in asked.split(", "))
    text = lyrics.text
    for word, other in pairs.items():
        text = text.replace(word, other)
    with torch.no_grad():
        for output, given in ((explanation.output_song, lyrics.text), (explanation.output_empty, text)):
            torch.testing.assert_close(output.float(), module(**tokenizer(given, return_tensors="pt")).logits[0])
    assert explanation.provenance["swaps"] == {"1": pairs["me"], "3": pairs["love"], "6": pairs["love"]}
    assert set(explanation.unseen) == {0, 2, 4, 5}
    assert "no other word takes its place" in explanation.unseen[0]
    assert explanation.provenance["settings"]["lyrics_baseline"] == asked


@pytest.mark.parametrize("asked", ["me=go, love=tonight", "me=don't go away, love=my", "me=don't go away tonight"])
def test_variants_with_some_words_swapped_are_the_texts_themselves(tmp_path: Path, lyrics: Lyrics, asked: str):
    """In one batch, whose texts have other numbers of tokens."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = save_text_classifier(tmp_path, "roberta")
    module = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = make_text_classifier(module, tokenizer)
    subject = describe_model(model, sample_rate=None, classes=None, output_kind=None, modalities=None)
    swaps = swap_words(lyrics, spans_of(lyrics), asked, CPU)
    with torch.no_grad():
        gates = gate_swaps(subject, lyrics.text, swaps, CPU)
        masks = torch.ones(4, 7, dtype=torch.bool)
        masks[1, 1] = masks[2, 3] = False
        masks[3] = False
        outputs = model(mask_lyrics(gates, masks))
        for mask, output in zip(masks.tolist(), outputs, strict=True):
            text = lyrics.text
            for (start, end), kept, column in reversed([*zip([s[0] for s in spans_of(lyrics)], mask, swaps, strict=True)]):
                if not kept and column:
                    text = text[:start] + column[0][2] + text[end:]
            wanted = module(**tokenizer(text, return_tensors="pt")).logits[0]
            torch.testing.assert_close(output, wanted, rtol=1e-4, atol=1e-6)


class Ids:
    """A model of token ids, one a word."""

    modalities, output_kind, classes = ("lyrics",), "regression", ("sum",)
    vocabulary = ("hold", "me", "now", "love", "is", "my", "you")

    def tokenize(self, text: str):
        from musiclime_torch.models.contract import Tokens

        lyrics = parse_lyrics(text)
        ids = torch.tensor([self.vocabulary.index(word.text) for word in lyrics.words])
        return Tokens(ids, tuple((word.start, word.end) for word in lyrics.words))

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        return ids.float().sum(1, keepdim=True)


def test_token_ids_take_words_of_as_many_tokens_alone(lyrics: Lyrics):
    track = Track(torch.zeros(1, 1, 100), ("mix",), 8000, lyrics)
    explanation = explain(Ids(), track, lyrics_baseline={"me": "you"}, design="joint")
    assert explanation.attributions[0].tolist() == pytest.approx([0, 1 - 6, 0, 0, 0, 0, 0])
    with pytest.raises(
        InputError, match=r"'my love' in the place of 'me', which has another number of tokens .* as many tokens"
    ):
        explain(Ids(), track, lyrics_baseline={"me": "my love"}, design="joint")


def test_a_guess_is_explained_and_recorded(tmp_path: Path, lyrics: Lyrics):
    folder = save_bert(tmp_path / "bert", {"happy": 7, "day": 6})
    track = Track(torch.zeros(1, 1, 100), ("mix",), 8000, lyrics)
    explanation = explain(
        lambda texts: torch.tensor([[float(text.count("happy"))] for text in texts]), track, modalities=("lyrics",),
        output_kind="regression", lyrics_baseline=f"guess:{folder}",
    )  # fmt: skip
    assert set(explanation.provenance["swaps"].values()) == {"happy"}
    assert explanation.attributions[0].tolist() == pytest.approx([-1.0] * 7)
