"""Clocks that don't make the device wait, and leave models as they were."""

import time

import torch

from benchmarks.gpu.job import Spans, take_time


class Slow(torch.nn.Module):
    def forward(self, x):
        time.sleep(0.02)
        return x

    def fuse(self, x):
        time.sleep(0.01)
        return x


def test_modules_and_methods_are_timed_by_name_and_left_as_found():
    model, spans = Slow(), Spans(torch.device("cpu"))
    with spans.watching({"whole": model}, {"fuse": model}):
        for _ in range(2):
            model(torch.zeros(1))
        model.fuse(torch.zeros(1))
    model(torch.zeros(1))
    seconds = spans.read()
    assert 0.04 <= seconds["whole"] < 0.06
    assert 0.01 <= seconds["fuse"] < 0.02
    assert "fuse" not in vars(model)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_a_call_is_timed_to_its_end():
    assert take_time(lambda: time.sleep(0.02), torch.device("cpu")) >= 0.02
