"""Products in float32 stay in float32 whatever the caller allows."""

import torch

from musiclime_torch.surrogate.signed import full_precision, pick_precision, rounds_products

BACKENDS = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)


def test_nothing_rounds_products_inside_and_settings_are_left_as_found():
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            with full_precision(torch.device("cpu")):
                assert {backend.fp32_precision for backend in BACKENDS} == {"ieee"}
                assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_backend_that_was_set_by_itself_is_left_as_found():
    """torch then refuses to say what it calls the precision of all: an explanation ended in its RuntimeError."""
    before = [backend.fp32_precision for backend in BACKENDS]
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with full_precision(torch.device("cpu")):
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
        assert rounds_products()
    finally:
        for backend, precision in zip(BACKENDS, before, strict=True):
            backend.fp32_precision = precision
    assert not rounds_products()


def test_devices_other_than_a_cpu_need_no_float64():
    assert pick_precision(torch.zeros(1, dtype=torch.float32)) == torch.float64
    assert pick_precision(torch.zeros(1, dtype=torch.float64, device="meta")) == torch.float32
