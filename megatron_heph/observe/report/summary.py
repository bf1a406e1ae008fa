"""The report's sentences, made from the numbers: they say better, worse or nothing as the numbers do."""

from __future__ import annotations

import math
import statistics

from megatron_heph.observe.metrics import Metrics
from megatron_heph.observe.report.compare import (
    SAME_LOSS,
    TREATED,
    Comparison,
    DomainComparison,
)
from megatron_heph.observe.report.text import percent
from megatron_heph.observe.units import count


def summary(run: Metrics, comparison: Comparison | None) -> list[str]:
    """Sentences of the run's outcome; the first is the headline."""
    if comparison is None or not comparison.domains:
        return _without_heldout(run)
    first = comparison.domain(TREATED) or comparison.domains[0]
    sentences = [_headline(first, comparison.tokens), _beside_control(first, comparison)]
    others = [row for row in comparison.domains if row is not first]
    if others:
        sentences.append(_capital(_enumerate([_outcome(row) for row in others])) + ".")
    return sentences


def _headline(row: DomainComparison, tokens: int) -> str:
    over = f"After {count(tokens)} tokens, held-out loss on {row.domain} data"
    if row.verdict == "unknown":
        return f"{over} is not a number: it was {row.before:.3f} before and is {row.after:.3f} now."
    numbers = f"from {row.before:.3f} to {row.after:.3f} nats per token ({percent(row.change)})"
    if row.verdict == "unchanged":
        return f"{over} is unchanged, {numbers}."
    if row.verdict == "better":
        return f"{over} fell {numbers}."
    return f"{over} rose {numbers}: the model got worse at it."


def _beside_control(row: DomainComparison, comparison: Comparison) -> str:
    beyond = row.beyond_repair
    if beyond is None or row.control_after is None:
        return "Without a control arm, this cannot tell learning from mere repair of the base."
    if not comparison.fair or not math.isfinite(beyond):
        return (
            f"The control arm is at {row.control_after:.3f}, but the two do not compare fairly "
            f"(the notes below say why), so this cannot tell learning from mere repair of the base."
        )
    arm = f"The control arm, which read as many tokens and no agent data, is at {row.control_after:.3f}"
    if beyond > SAME_LOSS * row.before:
        return f"{arm}: {beyond:.3f} nats per token were learned beyond repair."
    return f"{arm}: nothing was learned beyond repair ({_signed(beyond)} nats per token)."


def _outcome(row: DomainComparison) -> str:
    if row.verdict == "unknown":
        return f"{row.domain} is not a number"
    if row.verdict == "unchanged":
        return f"{row.domain} is unchanged ({percent(row.change)})"
    return f"{row.domain} got {row.verdict} ({percent(row.change)})"


def _without_heldout(run: Metrics) -> list[str]:
    measured = ("never measured", "measured only once")[min(len(run.heldouts), 1)]
    if len(run.heldouts) > 1:
        measured = "measured on no domain twice"
    sentences = [f"Held-out loss was {measured}, so this report cannot say whether the model got better."]
    tenth = max(1, len(run.steps) // 10)
    if len(run.steps) >= 2:
        first = statistics.fmean(row.loss for row in run.steps[:tenth])
        last = statistics.fmean(row.loss for row in run.steps[-tenth:])
        sentences.append(
            f"Training loss went from {first:.3f} to {last:.3f} nats per token (means of the first and the "
            f"last {tenth} of {len(run.steps)} steps), on data that it was trained on."
        )
    return sentences


def _enumerate(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
