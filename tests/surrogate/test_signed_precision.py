"""Products in float32 stay in float32 whatever the caller allows."""

import torch

from musiclime_torch.surrogate.signed import full_precision, pick_precision


def test_nothing_rounds_products_inside_and_settings_are_left_as_found():
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            with full_precision(torch.device("cpu")):
                assert torch.get_float32_matmul_precision() == "highest"
                assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_devices_other_than_a_cpu_need_no_float64():
    assert pick_precision(torch.zeros(1, dtype=torch.float32)) == torch.float64
    assert pick_precision(torch.zeros(1, dtype=torch.float64, device="meta")) == torch.float32
