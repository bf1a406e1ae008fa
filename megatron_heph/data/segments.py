"""Where a run stands in its data, and the table of what it read how: plain values that a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run stands in the endless order of a source.

    `stream`: `cursor` is the positions taken since the run began, epochs included.  `pack`: it is the
    groups of 16 blocks finished since the run began, and `used` says what of the group at work is used up: pairs
    of (sample length, windows of that length), the later packed from what the earlier left over.
    """

    cursor: int = 0
    used: tuple[tuple[int, int], ...] = ()


Places = dict[str, Place]
"""Of every source that the run has read or knows, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a run with one mixture, sample length and batch; samples of it are numbered from 0.

    With its places at the beginning it says of every sample, alone, where it comes from.
    """

    step: int                           # optimizer steps of the run before it
    stage: str
    sequence: int                       # positions of a sample
    samples: int                        # per optimizer step
    weights: dict[str, float]           # source -> share of the samples, of those that have one; they add up to 1
    apart: tuple[str, ...] = ()         # the sources of these whose documents do not see each other
    begin: Places = field(default_factory=dict)
    megatron: int | None = None         # in the order of a Megatron run: the number of the first sample there

    @property
    def batch(self) -> int:
        """Positions per optimizer step."""
        return self.sequence * self.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a run stands between two steps."""

    step: int = 0                       # optimizer steps done
    tokens: int = 0                     # positions read
    stage: str = ""                     # "": before the first
    stage_tokens: int = 0               # positions read in this stage
    places: Places = field(default_factory=dict)


def segment_at(segments: tuple[Segment, ...], step: int) -> Segment:
    """The segment of a table that the run's step `step` (from 0) belongs to; IndexError before the first."""
    for segment in reversed(segments):
        if segment.step <= step:
            return segment
    raise IndexError(f"step {step} is before the first segment")
