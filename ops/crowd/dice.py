"""Draws by weight."""

import random
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def draw_weighted(dice: random.Random, weights: Mapping[T, float]) -> T:
    return dice.choices(list(weights), list(weights.values()))[0]


def mean(weights: Mapping[int, float]) -> float:
    """The mean of the numbers that are drawn."""
    return sum(n * weight for n, weight in weights.items()) / sum(weights.values())
