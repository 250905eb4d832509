"""Ways of running the paper's model: what is read from an explanation, and what is undone after it."""

import pytest
import torch

from benchmarks.gpu import sweep
from benchmarks.worlds.subjects import make_ast_roberta

CPU = torch.device("cpu")


@pytest.mark.parametrize(("said", "moved"), [("0.0033", 0.0033), ("1.2e-07", 1.2e-07), ("0", 0.0)])
def test_what_a_precision_moves_is_read_from_the_warnings(said, moved):
    note = f"encoders in bfloat16 change the outputs by up to {said}, where song and empty song differ by up to 0.24."
    assert sweep.find_moved(("something else.", note)) == moved
    assert sweep.find_moved(("something else.",)) is None


def test_layers_are_compiled_inside_alone():
    model = make_ast_roberta("smallest")
    layers = sweep.list_layers(model)
    assert len(layers) == 4  # two of either encoder
    with sweep.preparing(model, sweep.Way("bfloat16", 16, "compiled"), CPU):
        assert all(layer._compiled_call_impl is not None for layer in layers)
    assert all(layer._compiled_call_impl is None for layer in layers)


def test_products_are_rounded_inside_alone():
    with sweep.multiplying("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"


def test_every_precision_and_number_of_rows_is_among_the_ways_and_the_best_come_first():
    assert {(way.products, way.rows) for way in sweep.WAYS} >= {
        (products, rows) for products in ("bfloat16", "tf32", "float32") for rows in (16, 64, 256, 512)
    }
    assert {way.how for way in sweep.WAYS} == {"plain", "compiled", "graphs"}
    assert sweep.WAYS[0].products == "bfloat16"
