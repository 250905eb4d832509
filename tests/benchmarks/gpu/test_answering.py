"""The ceiling of a prefix cache: the same last states, from the prefix once."""

import torch

from benchmarks.gpu.answering import compare_caches
from benchmarks.worlds.listeners import make_listener

CPU = torch.device("cpu")


def test_a_shared_prefix_gives_the_states_of_whole_sequences_and_another_one_wouldnt():
    model = make_listener("tiny", CPU, torch.float32)
    row = compare_caches(model, 12, 6, 3, CPU)
    assert row["passes"] == 3
    assert float(row["note"].split()[-2]) < 1e-5
    body = model.model.model.language_model
    ids = torch.arange(18)[None] % 300
    joined = model.embed_text(ids)
    with torch.no_grad():
        whole, alone = (body(inputs_embeds=part).last_hidden_state[:, -1] for part in (joined, joined[:, 12:]))
    assert (whole - alone).abs().max() > 1e-3
