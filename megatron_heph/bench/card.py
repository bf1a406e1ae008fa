"""A benchmark's card: what was measured, on what, with which result; as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from megatron_heph.bench.paired import Spread


@dataclass(frozen=True, slots=True)
class RowResult:
    """A comparison and its aim; without a figure where it could not be made, for the reason in `lacking`."""

    against: str
    aim: str
    figure: Spread | None
    met: bool | None
    lacking: str
    unit: str = ""      # of the figure and the aim; a ratio has none


@dataclass(frozen=True, slots=True)
class Measured:
    """All runs of one job: CPU and wall time in seconds, memory in bytes."""

    cpu: Spread
    wall: Spread
    peak_memory: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a reader needs to trust a figure or to measure it again."""

    title: str
    method: str                   # how the figures were taken, in a sentence or two
    about: Mapping[str, str]
    versions: Mapping[str, str]
    corpus: Mapping[str, str]
    commands: Mapping[str, str]
    rows: Mapping[str, RowResult]
    measured: Mapping[str, Measured]
    same: dict[str, bool]         # which outputs were compared, and whether they are the same
    same_means: str               # what that says

    def json(self) -> str:
        """All of it, for programs."""
        return json.dumps(asdict(self), indent=2)

    def markdown(self) -> str:
        """All of it, for people."""
        rows = [[name, row.against, row.aim, _figure(row), _verdict(row)] for name, row in self.rows.items()]
        jobs = [
            [job, _seconds(found.cpu), _seconds(found.wall), f"{found.peak_memory / 2**20:.0f}", str(found.runs)]
            for job, found in sorted(self.measured.items())
        ]
        verdicts = {True: self.same_means, False: "**different**"}
        same = [[pair, verdicts[equal]] for pair, equal in self.same.items()]
        return "\n".join([
            f"# {self.title}", "", self.method, "",
            *_table(["row", "what", "aim", "median (least - largest)", ""], rows), "",
            "## Outputs", "", *_table(["outputs", "compared"], same), "",
            "## Runs", "", *_table(["job", "CPU s", "wall s", "peak MiB", "runs"], jobs), "",
            "## Setting", "", *_table(["what", ""], [*self.about.items(), *self.corpus.items()]), "",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()), "",
            "## Commands", "", "```", *(f"{name}:  {command}" for name, command in self.commands.items()), "```", "",
        ])  # fmt: skip

    def write(self, path: Path) -> None:
        """Writes `path` (Markdown) and its neighbour with the suffix `.json`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown())
        path.with_suffix(".json").write_text(self.json() + "\n")


def _figure(row: RowResult) -> str:
    if row.figure is None:
        return "-"
    unit = f" {row.unit}" if row.unit else ""
    return f"**{_digits(row.figure.median)}{unit}** ({_digits(row.figure.least)} - {_digits(row.figure.largest)})"


def _verdict(row: RowResult) -> str:
    if row.lacking:
        return f"not measured: {row.lacking}"
    return {True: "met", False: "**not met**", None: "for information"}[row.met]


def _digits(value: float) -> str:
    """Three of them, without an exponent for the large."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def _seconds(spread: Spread) -> str:
    digits = 2 if spread.median >= 1 else 4
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f} - {spread.largest:.{digits}f})"


def _table(head: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]
