"""A model that counts words, and settings that keep a check of it short."""

import torch

#: Two stems × two segments and seven words: eleven components, few enough to take every mask.
SMALL = {"segments": 2, "n_samples": 2048}


#: Without what takes more explanations.
ALONE = {"seeds": 0, "shuffled": ()}


def count_words(text: list[str]) -> torch.Tensor:
    """Two classes that hang on words, one pair of them together; whatever stands between the words."""
    rows = []
    for line in text:
        words = line.split()
        sad = 0.7 * words.count("love") - 0.4 * ("now" in words) + 1.1 * ("hold" in words and "my" in words) - 0.6
        rows.append([sad, 0.3 * ("me" in words)])
    return torch.tensor(rows)
