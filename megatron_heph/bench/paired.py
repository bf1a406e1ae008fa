"""Runs of several jobs in turn, so that a noisy machine disturbs all of them alike, and ratios of such runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, with the least and the largest."""

    median: float
    least: float
    largest: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """The spread of at least one figure."""
        return cls(statistics.median(figures), min(figures), max(figures))


def in_turn(jobs: Sequence[str], rounds: int, run: Callable[[str, int], bool]) -> None:
    """Runs all jobs once a round, each round in the other direction than the one before.

    `run` gets the job and the round's index; a job for which it returned False is not run again.
    """
    active = list(jobs)
    for index in range(rounds):
        for job in active if index % 2 == 0 else active[::-1]:
            if not run(job, index):
                active = [other for other in active if other != job]


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The spread of the ratios, round by round."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


class NoiseError(Exception):
    """A difference is no larger than what its parts vary by; the text has the figures."""


def without(figures: Sequence[float], start_up: Sequence[float]) -> list[float]:
    """The figures less the start-up's median: a round's own would add its noise.

    Raises NoiseError if what is left is less than four times the start-up's median deviation.
    """
    subtracted = statistics.median(start_up)
    deviation = statistics.median(abs(figure - subtracted) for figure in start_up)
    left = [figure - subtracted for figure in figures]
    if min(left) <= 4 * deviation or min(left) <= 0:
        raise NoiseError(
            f"{min(left):.2f} s are left of {min(figures):.2f} s without the start-up, which varies by "
            f"{deviation:.2f} s: take a larger corpus or a quieter machine"
        )
    return left
