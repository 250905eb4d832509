"""How a model is run where its time counts: device, rows a forward, precision, and whether it is compiled."""

import argparse
from dataclasses import dataclass
from typing import get_args

import torch
from torch import nn

from musiclime_torch.models import Precision


@dataclass(frozen=True)
class Tuning:
    """The same for every method that is compared; `precision` is that of the encoders."""

    device: torch.device
    rows: int = 64
    precision: Precision = "float32"
    compiled: bool = False

    def __str__(self) -> str:
        """As a table's title shows it."""
        return f"{self.device}, {self.rows} rows a forward, {self.precision}{', compiled' if self.compiled else ''}"


def add_options(parser: argparse.ArgumentParser, rows: int = Tuning.rows) -> None:
    """`--device`, `--rows`, `--precision`, `--compile`."""
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, default=rows, help="rows a forward")
    parser.add_argument("--precision", choices=get_args(Precision), default=Tuning.precision)
    parser.add_argument("--compile", action="store_true", help="torch.compile, which needs a compiler")


def read_options(options: argparse.Namespace) -> Tuning:
    """The tuning that the options ask for."""
    return Tuning(torch.device(options.device), options.rows, options.precision, options.compile)


def tune(model: nn.Module, tuning: Tuning) -> nn.Module:
    """The model itself on its device; its parts are compiled when they are first run."""
    if tuning.compiled:
        for part in model.children():
            part.compile()
    return model.to(tuning.device)
