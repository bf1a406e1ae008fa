"""What one recipe or run does otherwise than another: shares, tokens and epochs of each source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_heph.data.records import as_recorded
from megatron_heph.data.sources import open_training
from megatron_heph.observe.overview import aligned
from megatron_heph.planning.data import EPOCHS, SourcePlan, source_plans
from megatron_heph.planning.run import settled
from megatron_heph.recipe.resolve import load_recipe, resolve
from megatron_heph.recipe.resolved import Machine, Resolved

if TYPE_CHECKING:
    from megatron_heph.checkpoint.store import TrainState


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared."""

    name: str
    step: int                           # that it goes on from; 0: from the beginning
    tokens: int                         # of the whole run
    sources: dict[str, SourcePlan]

    def share(self, source: str) -> float:
        """The source's share of the whole run."""
        return self.sources[source].taken / self.tokens if source in self.sources and self.tokens else 0.0


def sides(first: Path, second: Path) -> tuple[Side, Side]:
    """Both, each a run folder or a recipe file; a recipe beside a run is taken as what the run goes on with."""
    a, b = _resolved(first), _resolved(second)
    if first.is_dir() and not second.is_dir():
        b = replace(b, recipe=replace(b.recipe, run=str(first)))
    return _side(first, a), _side(second, b)


def _resolved(path: Path) -> Resolved:
    machine = Machine(cores=1, gpus=0)
    if not path.is_dir():
        return resolve(load_recipe(path), machine)
    from megatron_heph.train.run_folder import RunFolder

    here = RunFolder(path).resolved(machine)
    return replace(here, recipe=replace(here.recipe, run=str(path)))


def _side(path: Path, resolved: Resolved) -> Side:
    resolved, saved = settled(resolved)
    sources = open_training(resolved)
    known = as_recorded(sources, saved.sources)[0] if saved else sources
    plans = {plan.name: plan for plan in source_plans(resolved, known, saved)}
    gone = _gone(plans, saved)
    taken = sum(plan.taken for plan in (*plans.values(), *gone.values()))
    return Side(name=str(path), step=saved.step if saved else 0, tokens=taken, sources={**plans, **gone})


def _gone(plans: dict[str, SourcePlan], saved: TrainState | None) -> dict[str, SourcePlan]:
    """The sources that the run has read and the recipe no longer names."""
    if saved is None:
        return {}
    return {
        name: SourcePlan(
            name=name, domain=record.domain, path=record.path, window=record.window, tokens=record.tokens,
            taken=saved.positions.get(name, 0), taken_by_stage={}, epochs=saved.epochs.get(name, 0.0),
        )
        for name, record in saved.sources.items()
        if name not in plans
    }  # fmt: skip


def lines(a: Side, b: Side) -> Iterator[str]:
    """The comparison for people."""
    yield f"A  {_head(a)}"
    yield f"B  {_head(b)}"
    names = sorted({*a.sources, *b.sources})
    rows = [(name, _domain(a, b, name), *_cells(a, b, name)) for name in names]
    yield from aligned(("source", "domain", "share A", "B", "tokens A", "B", "change", "epochs A", "B"), rows)
    for name in names:
        if name in b.sources and b.sources[name].epochs > EPOCHS:
            yield (
                f"warning: B reads {name} {b.sources[name].epochs:.1f} times; past about {EPOCHS:.0f} epochs "
                f"repetition is worth much less than fresh data (arXiv 2305.16264)"
            )


def _head(side: Side) -> str:
    begun = f", goes on from step {side.step:,}" if side.step else ""
    return f"{side.name}: {side.tokens:,} tokens{begun}"


def _domain(a: Side, b: Side, name: str) -> str:
    return (b.sources.get(name) or a.sources[name]).domain


def _cells(a: Side, b: Side, name: str) -> tuple[str, ...]:
    before, after = a.sources.get(name), b.sources.get(name)
    taken = [plan.taken if plan else 0 for plan in (before, after)]
    epochs = [f"{plan.epochs:.2f}" if plan else "-" for plan in (before, after)]
    return (
        f"{a.share(name):.1%}" if before else "-", f"{b.share(name):.1%}" if after else "-",
        f"{taken[0]:,}", f"{taken[1]:,}", f"{taken[1] - taken[0]:+,}", *epochs,
    )  # fmt: skip
