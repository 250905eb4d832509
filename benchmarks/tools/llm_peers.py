"""What others offer for a model that hears and reads: Captum's `LLMAttribution`, the procedure of MM-SHAP, and mllm-shap."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import soundfile
import torch
from captum.attr import FeatureAblation, KernelShap, LLMAttribution
from captum.attr._utils.interpretable_input import ImageMaskInput
from torch import Tensor

from benchmarks.tools.peers import Found, Oracle
from musiclime_torch.demo import MOMENTS, STEMS
from musiclime_torch.models import keeping_random_states


class SoundAndWords(ImageMaskInput):
    """A song and its lyrics as `LLMAttribution` takes an input: it accepts text or an image, so that this is one by name.

    Removed cells are silent. Removed words are the padding token, whose embedding is zero in the embedded model, so that
    everything is as `explain` removes it.
    """

    def __init__(self, asking: Any, stems: Tensor, lyrics: Any) -> None:
        super().__init__(PIL.Image.new("RGB", (1, 1)))
        self.asking, self.stems, self.lyrics = asking, stems, lyrics
        text, start = asking.prompt.render(lyrics.text)
        self.places = [(start + word.start, start + word.end) for word in lyrics.words]
        self.text, self.cells = text, len(STEMS) * MOMENTS
        self.n_itp_features = self.cells + len(self.places)
        self.values = [f"component {number}" for number in range(self.n_itp_features)]
        self.asked = 0

    def to_tensor(self) -> Tensor:
        return torch.ones(1, self.n_itp_features)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> dict[str, Tensor]:
        self.asked += 1
        kept = torch.ones(self.n_itp_features) if perturbed_tensor is None else perturbed_tensor[0].float()
        gates = kept[: self.cells].view(len(STEMS), MOMENTS).repeat_interleave(self.stems.shape[1] // MOMENTS, 1)
        text = self.text
        for (first, last), there in reversed(list(zip(self.places, kept[self.cells :].tolist(), strict=True))):
            text = text if there else f"{text[:first]}<pad>{text[last:]}"
        wave = (gates * self.stems).sum(0).numpy()
        inputs = self.asking.processor(text=[text], audio=[wave], sampling_rate=16_000, return_tensors="pt")
        return {name: inputs[name] for name in ("input_ids", "input_features", "input_features_mask")}


def run_captum(asking: Any, stems: Tensor, lyrics: Any, budget: int | None, seed: int, **how: bool) -> tuple[Tensor, int]:
    """Attributions of log p("Yes") and the forward passes taken: `FeatureAblation` for a budget of None, or `KernelShap`.

    `how` are options of `LLMAttribution.attribute`. Its defaults decode the answer token by token. On MusicFlamingo they
    give every sound exactly 0.0: Captum calls `prepare_inputs_for_generation` without `is_first_iteration=True`, and
    transformers 5 then leaves the sound's features out of the inputs, without a word. With `forward_in_tokens=False`
    the model is called by itself, and hears.
    """
    inputs = SoundAndWords(asking, stems, lyrics)
    method = FeatureAblation(asking.model) if budget is None else KernelShap(asking.model)
    attribution = LLMAttribution(method, asking.processor.tokenizer)
    more = {} if budget is None else {"n_samples": budget}
    with torch.no_grad(), keeping_random_states():
        torch.manual_seed(seed)
        result = attribution.attribute(inputs, target="Yes", **how, **more)
    return result.seq_attr.double(), inputs.asked


def run_mm_shap(game: Oracle, permutations: int, seed: int) -> Found:
    """Shapley values by whole permutations, walked there and back, as MM-SHAP takes them from SHAP's permutation explainer.

    Parcalabescu & Frank 2023, and for music language models arXiv 2509.20641, which takes ten permutations. Its players are
    the tokens of the text and as many windows of the sound; here they are the same components as everyone's.
    """
    rng = np.random.default_rng(seed)
    total = torch.zeros(game.width, dtype=torch.float64)
    for _ in range(permutations):
        order = rng.permutation(game.width)
        # Rows switch the components on one by one, then off again in the same order.
        ladder = torch.zeros(2 * game.width, game.width, dtype=torch.bool)
        for place, column in enumerate(order):
            ladder[place + 1 : place + 1 + game.width, column] = True
        values = game(ladder)
        steps = torch.diff(torch.cat([values, values[:1]]))
        total[order] += (steps[: game.width] - steps[game.width :]) / 2
    return Found(total / permutations)


def run_mllm_shap(folder: Path, stems: Tensor, lyrics: Any, question: str, budget: int, seed: int) -> tuple[Tensor, int]:
    """Shapley values of the words by mllm-shap 0.8.0, which needs Python 3.12, and the answers that it let be generated.

    The sound stays as it is: its players are words, and spoken words that it can align with a transcript. What is explained
    is how probable the model finds the answer that it gives by itself (`self_logprob`), for other scores of its raise a
    ValueError beside sound. The question's words are players too. Removed words are the padding token, as everywhere here.
    The estimator is its default.
    """
    import mllm_shap
    from mllm_shap.domain.conversation import AudioPart, TextPart

    file = io.BytesIO()
    soundfile.write(file, stems.sum(0).numpy(), 16_000, format="WAV", subtype="FLOAT")
    content = (AudioPart(file.getvalue(), 16_000), TextPart(f"Lyrics:\n{lyrics.text}\n\n{question}"))
    message = mllm_shap.Message(role=mllm_shap.Role.USER, content=content)
    snapshot = mllm_shap.ConversationSnapshot.from_turns((mllm_shap.Turn(messages=(message,)),))
    explaining = {
        "value_fn": "self_logprob",
        "absence_policy": "pad",
        "plugin_options": {"pad": {"placeholder": "<pad>"}},
        "budget": {"evaluations": budget},
        "archive": {"path": ""},
        "seed": seed,
    }
    backend = {"kind": "transformers", "model_id": str(folder), "options": {"dtype": "float32"}}
    config = {"backend": backend, "generation": {"max_new_tokens": 4}, "explanation": explaining}
    result = mllm_shap.ExplainRunner(mllm_shap.ExplainConfig.model_validate(config)).explain_sync(snapshot).result
    # The first player is "Lyrics:", the last ones are the question's words.
    words = torch.tensor(result.values[1 : 1 + len(lyrics.words)], dtype=torch.float64)
    return torch.cat([torch.zeros(len(STEMS) * MOMENTS, dtype=torch.float64), words]), budget
