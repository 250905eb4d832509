"""Global random states stay byte-equal. In processes of their own: beartype draws from Python's to pick what it checks."""

import subprocess
import sys

FRAME = """
import random, numpy as np, torch

def states():
    return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()

class Restless(torch.nn.Module):
    sample_rate = 8000
    def forward(self, audio, text=None):
        random.random(); np.random.rand(); torch.rand(3)
        return audio.mean(2)[:, :1] + torch.zeros(len(audio), 2)

{body}
"""

BODIES = {
    "explain": """
from musiclime_torch import Track, explain
track = Track(torch.randn(2, 1, 8000), ("a", "b"), 8000)
before = states()
explain(Restless(), track, n_samples=64, baseline="noise")
""",
    "check": """
from musiclime_torch import Track, explain
from musiclime_torch.faithfulness import check
class Weighted(Restless):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(2, 2)
    def forward(self, audio, text=None):
        return self.line(super().forward(audio, text))
model = Weighted()
track = Track(torch.randn(2, 1, 8000), ("a", "b"), 8000)
before = states()
assert check(model, track, explain(model, track, n_samples=64), seeds=1).randomisation is not None
""",
    "attribute": """
from musiclime_torch import MusicLIME
audio = torch.randn(3, 2, 100)
before = states()
MusicLIME(Restless()).attribute(audio, target=0, feature_mask=torch.arange(2).reshape(1, 2, 1))
""",
}


def test_global_random_states_are_given_back():
    """All in one process, a new one: what a call imports when it is made may draw too."""
    bodies = [body + f"assert states() == before, {call!r}\n" for call, body in BODIES.items()]
    subprocess.run([sys.executable, "-c", FRAME.format(body="".join(bodies))], check=True)
