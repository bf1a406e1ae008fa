"""What a run reads of each source: exact, by the closed form of the loader, without reading a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from megatron_heph.data.loader import Cursors, Loader
from megatron_heph.data.sources import source_weights
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.recipe.resolved import Resolved

EPOCHS = 4.0
"""Up to about here repeated data is nearly as good as fresh data (Muennighoff et al., arXiv 2305.16264)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """A source of the mixture, and what the run takes of it."""

    name: str
    domain: str
    path: str
    tokens: int                         # in the source
    epoch_tokens: int                   # in whole blocks, which is what one pass reads
    taken: int                          # by the whole run
    taken_by_stage: dict[str, int]

    @property
    def epochs(self) -> float:
        """How often the run reads the source."""
        return self.taken / self.epoch_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldoutPlan:
    """A held-out set, and what one measurement reads of it."""

    domain: str
    path: str
    tokens: int
    measured: int                       # whole windows of the first stage's sequence, at most heldout_tokens


def source_plans(resolved: Resolved, sources: Mapping[str, TokenizedSource]) -> tuple[SourcePlan, ...]:
    """Every source of the recipe, also one that no stage reads."""
    nodes = resolved.recipe.data.sources
    taken = {
        stage: {name: after[name] - before[name] for name in sources}
        for stage, before, after in _cursors(resolved, sources)
    }
    return tuple(
        SourcePlan(
            name=name,
            domain=nodes[name].domain,
            path=nodes[name].path,
            tokens=source.total_tokens,
            epoch_tokens=(source.total_tokens - 1) // resolved.block * resolved.block,
            taken=sum(counts[name] for counts in taken.values()),
            taken_by_stage={stage: counts[name] for stage, counts in taken.items()},
        )
        for name, source in sources.items()
    )


def _cursors(resolved: Resolved, sources: Mapping[str, TokenizedSource]) -> Iterator[tuple[str, Cursors, Cursors]]:
    """(stage, the cursors at its beginning and at its end), in order."""
    cursors: Cursors = {}
    for stage in resolved.recipe.stage:
        loader = Loader(
            sources,
            source_weights(resolved, stage, dict(sources)).tolist(),
            sequence=stage.sequence,
            samples_per_step=resolved.samples(stage),
            block=resolved.block,
            seed=resolved.recipe.seed,
            begin=cursors,
        )
        cursors = loader.cursors(resolved.steps(stage))
        yield stage.name, loader.cursors(0), cursors


def heldout_plans(resolved: Resolved, heldout: Mapping[str, TokenizedSource]) -> tuple[HeldoutPlan, ...]:
    """Every held-out set of the recipe."""
    sequence, limit = resolved.recipe.stage[0].sequence, resolved.recipe.observe.heldout_tokens
    return tuple(
        HeldoutPlan(
            domain=domain, path=str(source.prefix), tokens=source.total_tokens,
            measured=min(limit, source.total_tokens - 1) // sequence * sequence,
        )
        for domain, source in heldout.items()
    )  # fmt: skip


def data_warnings(sources: tuple[SourcePlan, ...]) -> Iterator[str]:
    """What a reader of the plan should look at again."""
    for source in sources:
        if source.epochs > EPOCHS:
            yield (
                f"The run reads the source {source.name} {source.epochs:.1f} times; past about {EPOCHS:.0f} epochs "
                f"repetition is worth much less than fresh data (arXiv 2305.16264). Add text to the domain "
                f"{source.domain}, or lower its weight in stage.*.mixture."
            )
        if not source.taken:
            yield f"No token of the source {source.name} is read: no stage gives the domain {source.domain} weight."
