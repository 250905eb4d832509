"""The type variable of generic functions, declared once."""

from typing import TypeVar

T = TypeVar("T")
