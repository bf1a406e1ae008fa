"""Jobs that measure themselves: each is a program that prints a line of JSON, run in a process of its own."""

from __future__ import annotations

import datetime
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from megatron_heph.bench.card import Card, Measured
from megatron_heph.bench.machine import commit, machine, versions
from megatron_heph.bench.paired import Spread, in_turn
from megatron_heph.bench.process import CommandFailedError, run_measured
from megatron_heph.bench.row import Row
from megatron_heph.errors import InputError, nearest

ROOT = Path(__file__).parents[2]
Figures = dict[str, float]
"""What a program printed: at least cpu and wall (seconds) and memory (bytes), counted inside it."""
Found = Mapping[str, Sequence[Figures]]
"""Of each job what its runs printed."""
_PACKAGES = ("numpy", "torch", "megatron-core")


@dataclass(frozen=True, slots=True)
class Job:
    """A program with its arguments.

    Attributes:
        arguments: of this interpreter: `-m`, a module and what it takes, or a script's path first.
        missing: why it cannot run here; empty if it can.
    """

    arguments: Sequence[str]
    missing: str = ""


def own(module: str, *arguments: object) -> Job:
    """A program of this package."""
    return Job(["-m", f"megatron_heph.bench.{module}", *map(str, arguments)])


def peer(script: str, *arguments: object) -> Job:
    """A program of benchmarks/data/peers, which is in a checkout only."""
    path = ROOT / "benchmarks" / "data" / "peers" / script
    return Job([str(path), *map(str, arguments)], "" if path.is_file() else f"{path.name} is not at {path.parent}")


@dataclass(slots=True)
class Programs:
    """The jobs of a benchmark, and what they printed so far, run by run."""

    jobs: Mapping[str, Job]
    work: Path                              # an existing folder for what they say
    names: Mapping[str, str]                # path of this machine -> how a card calls it
    say: Callable[[str], None]
    found: dict[str, list[Figures]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, name: str, index: int) -> bool:
        """One run of one job; False if it cannot run."""
        job, log = self.jobs[name], self.work / f"{name.replace(' ', '-')}.log"
        try:
            if job.missing:
                raise CommandFailedError(job.missing)
            # One thread of numpy's OpenBLAS, which nobody uses here: else others turn in vain for some time after
            # its import, and would be counted.
            run_measured([sys.executable, *job.arguments], log, {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"})
        except CommandFailedError as error:
            self.failed[name] = self.portable(str(error))
            self.say(f"{name}: {error}")
            return False
        figures = json.loads(log.read_text().splitlines()[-1])
        self.found.setdefault(name, []).append(figures)
        shown = "  ".join(f"{key} {value:,.4g}" for key, value in figures.items())
        self.say(f"round {index + 1}  {name:<26} {shown}")
        return True

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Why some of these jobs have no figures."""
        return [f"{name}: {self.failed[name]}" for name in names if name in self.failed]

    def measured(self) -> dict[str, Measured]:
        """All runs of all jobs, for the card."""
        return {
            name: Measured(
                Spread.of([run["cpu"] for run in runs]), Spread.of([run["wall"] for run in runs]),
                int(max(run["memory"] for run in runs)), len(runs),
            )
            for name, runs in self.found.items()
        }  # fmt: skip

    def commands(self) -> dict[str, str]:
        """What ran, without the paths of this machine."""
        lines = {name: shlex.join(["python", *self.jobs[name].arguments]) for name in self.found}
        return {name: f"PYTHONPATH=. {self.portable(line)}" for name, line in lines.items()}

    def portable(self, text: str) -> str:
        """A text without the paths of this machine."""
        for path, name in {**self.names, str(self.work): "$WORK", str(ROOT): "."}.items():
            text = text.replace(path, name)
        return text


def bench(
    title: str,
    method: str,
    rows: Mapping[str, Row],
    wanted: Sequence[str],
    runs: int,
    programs: Programs,
    about: Mapping[str, str],
) -> Card:
    """Runs the jobs of the wanted rows (none: all) in turn, and makes the card.

    Raises InputError for an unknown row.  What cannot run here is a row without a figure and with the reason.
    """
    for name in wanted:
        if name not in rows:
            raise InputError(f"--rows names {name!r}; {nearest(name, rows)}")
    chosen = {name: rows[name] for name in wanted or rows}
    in_turn(list(dict.fromkeys(job for row in chosen.values() for job in row.jobs)), runs, programs.run)
    results = {}
    for name, row in chosen.items():
        lacking = programs.lacking(row.jobs)
        results[name] = row.result(None if lacking else row.figure(programs.found), lacking)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Card(
        title=title, method=method, about={"date": today, "commit": commit(ROOT), **machine()},
        versions=versions(_PACKAGES), corpus=about, commands=programs.commands(), rows=results,
        measured=programs.measured(), same={}, same_means="the same tokens and labels",
    )  # fmt: skip
