"""Builds that are measured in turns: this checkout, and another one beside it."""

import argparse
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def add_options(parser: argparse.ArgumentParser, rounds: int) -> None:
    """`--beside` and `--rounds`."""
    parser.add_argument("--beside", type=Path, help="another checkout of this project")
    parser.add_argument("--rounds", type=int, default=rounds)


def list_builds(beside: Path | None) -> dict[str, Path]:
    """Checkouts by what tables call them."""
    return {"this build": HERE} | ({"the other": beside.resolve()} if beside else {})
