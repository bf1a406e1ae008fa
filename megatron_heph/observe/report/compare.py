"""Before, after and control: what the held-out losses say, at equal tokens.

A base that was damaged (by 4-bit quantisation, say) gets better by any further training.  The control
arm starts from the same base and reads as many tokens, none of them agent data: what it gains is
repair, and only what the run gains beyond it was learned from the agent data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from megatron_heph.observe.metrics import Metrics
from megatron_heph.observe.rows import Heldout
from megatron_heph.observe.units import count

TREATED = "agent"
"""The domain that a control arm leaves out."""
SAME_LOSS = 0.001
"""Losses closer than this part of each other are called unchanged."""
_SAME_TOKENS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainComparison:
    """One domain's held-out losses in nats per token; those of the control arm are None without one."""

    domain: str
    heldout_tokens: int
    before: float
    after: float
    control_before: float | None = None
    control_after: float | None = None

    @property
    def change(self) -> float:
        """The relative change of the loss; negative is better."""
        return _relative(self.before, self.after)

    @property
    def control_change(self) -> float | None:
        """The same for the control arm."""
        if self.control_before is None or self.control_after is None:
            return None
        return _relative(self.control_before, self.control_after)

    @property
    def perplexity_before(self) -> float:
        """exp(loss) of the base."""
        return perplexity(self.before)

    @property
    def perplexity_after(self) -> float:
        """exp(loss) after training."""
        return perplexity(self.after)

    @property
    def beyond_repair(self) -> float | None:
        """The run's gain less the control arm's, in nats per token; positive is better."""
        if self.control_before is None or self.control_after is None:
            return None
        return (self.before - self.after) - (self.control_before - self.control_after)

    @property
    def verdict(self) -> str:
        """better, worse, unchanged (see SAME_LOSS), or unknown where a loss is not finite."""
        return verdict(self.change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The domains in order; after how many tokens; and what makes the comparison less than fair.

    `fair` is False where the control arm is no control: then nothing is called learned.
    """

    domains: tuple[DomainComparison, ...]
    tokens: int
    control_tokens: int | None
    notes: tuple[str, ...]
    fair: bool = True

    def domain(self, name: str) -> DomainComparison | None:
        """The comparison of one domain."""
        return next((row for row in self.domains if row.domain == name), None)


def compare(run: Metrics, control: Metrics | None = None) -> Comparison | None:
    """Compares the run's first and last held-out losses, beside those of a control arm.

    The control arm's row is the one whose tokens are nearest to the run's last.  None if the run has
    fewer than two held-out rows.
    """
    if len(run.heldouts) < 2:
        return None
    before, after = run.heldouts[0], run.heldouts[-1]
    notes, unfair = _notes_on_run(before, after), list[str]()
    control_before = control_after = None
    if control is not None and len(control.heldouts) >= 2:
        control_before = control.heldouts[0]
        control_after = min(control.heldouts[1:], key=lambda row: abs(row.tokens - after.tokens))
        unfair = _notes_on_control(run, control, after, control_after)
    elif control is not None:
        notes.append("The control arm has fewer than two held-out measurements, so it is left out.")
    return Comparison(
        domains=tuple(
            DomainComparison(
                domain=domain,
                heldout_tokens=after.losses[domain].tokens,
                before=before.losses[domain].loss,
                after=after.losses[domain].loss,
                control_before=_loss(control_before, control_after, domain, 0),
                control_after=_loss(control_before, control_after, domain, 1),
            )
            for domain in run.domains
            if domain in before.losses and domain in after.losses
        ),
        tokens=after.tokens,
        control_tokens=control_after.tokens if control_after else None,
        notes=tuple(notes + unfair),
        fair=not unfair,
    )


def perplexity(loss: float) -> float:
    """exp(loss); infinity where that overflows."""
    return math.exp(loss) if loss < 700 else math.inf if loss == loss else math.nan


def verdict(change: float) -> str:
    """better, worse, unchanged or unknown, for a relative change of a loss."""
    if not math.isfinite(change):
        return "unknown"
    return "unchanged" if abs(change) < SAME_LOSS else "better" if change < 0 else "worse"


def same_tokens(one: int, other: int) -> bool:
    """Whether two token counts are equal within one part in a hundred."""
    return abs(one - other) <= _SAME_TOKENS * max(one, other)


def agent_tokens(metrics: Metrics) -> int | None:
    """Tokens of agent data that a run read; None if the domain of a source it read is not known."""
    read = {source: tokens for source, tokens in metrics.tokens_by_source().items() if tokens}
    if not all(metrics.domain_of(source) for source in read):
        return None
    return sum(tokens for source, tokens in read.items() if metrics.domain_of(source) == TREATED)


def _relative(before: float, after: float) -> float:
    return after / before - 1 if before else math.nan


def _loss(before: Heldout | None, after: Heldout | None, domain: str, which: int) -> float | None:
    if before is None or after is None or domain not in before.losses or domain not in after.losses:
        return None
    return (before, after)[which].losses[domain].loss


def _notes_on_run(before: Heldout, after: Heldout) -> list[str]:
    notes = []
    if before.step != 0:
        notes.append(f"The first measurement is of step {before.step}, not of the base model itself.")
    notes += [
        f"The held-out {domain} data changed during the run: {before.losses[domain].tokens} tokens "
        f"at first, {held.tokens} at last."
        for domain, held in after.losses.items()
        if domain in before.losses and before.losses[domain].tokens != held.tokens
    ]
    return notes


def _notes_on_control(run: Metrics, control: Metrics, after: Heldout, control_after: Heldout) -> list[str]:
    notes = []
    if run.start.label != control.start.label:
        notes.append(
            f"The control arm starts from another base ({control.start.label}), "
            f"so it is no control of this run."
        )
    if not same_tokens(after.tokens, control_after.tokens):
        notes.append(
            f"The control arm was measured after {count(control_after.tokens)} tokens, the run after "
            f"{count(after.tokens)}: not at equal tokens."
        )
    read = agent_tokens(control)
    if read is None:
        notes.append(
            "The control arm does not record its sources' domains: that it read no agent data is unproved."
        )
    elif read:
        notes.append(f"The control arm read {count(read)} tokens of agent data, so it is no control.")
    for domain, held in run.heldouts[0].losses.items():
        other = control.heldouts[0].losses.get(domain)
        if other is not None and other.tokens != held.tokens:
            notes.append(f"The arms were measured on different held-out {domain} data.")
        elif other is not None and abs(_relative(held.loss, other.loss)) > SAME_LOSS:
            notes.append(
                f"The arms begin with different losses on {domain} data "
                f"({held.loss:.4f} and {other.loss:.4f})."
            )
    return notes
