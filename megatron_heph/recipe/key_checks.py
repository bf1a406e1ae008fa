"""What must hold for the keys of a recipe apart from the grid: one small named function each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from megatron_heph.errors import nearest
from megatron_heph.formats.document import DOMAINS
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Model


def sizes_are_positive(r: Resolved) -> Iterator[str]:
    """Every size of the grid and of a stage is at least 1."""
    p = r.recipe.parallel
    axes = {name: getattr(p, name) for name in ("tensor", "pipeline", "virtual", "context")}
    for name, size in {**axes, "data": r.grid.data}.items():
        if size < 1:
            yield f"parallel.{name} is {size}; it is at least 1."
    for stage in r.recipe.stage:
        for key in ("tokens", "sequence", "batch", "micro_batch"):
            if getattr(stage, key) < 1:
                yield f"stage.{stage.name}.{key} is {getattr(stage, key)}; it is at least 1."


def settings_are_in_range(r: Resolved) -> Iterator[str]:
    """Rates, fractions and intervals are numbers that mean something."""
    o = r.recipe.optim
    lowest = {"optim.lr": o.lr, "optim.weight_decay": o.weight_decay, "optim.clip": o.clip, "seed": r.recipe.seed}
    for stage in r.recipe.stage:
        lowest[f"stage.{stage.name}.lr"] = 0.0 if stage.lr is None else stage.lr
    for key, number in lowest.items():
        if number < 0:
            yield f"{key} is {number}; it is at least 0."
    for i, beta in enumerate(o.betas):
        if not 0 <= beta < 1:
            yield f"optim.betas.{i} is {beta}; it is at least 0 and less than 1."
    if o.eps <= 0:
        yield f"optim.eps is {o.eps}; it is greater than 0, such as 1e-8."
    for stage in r.recipe.stage:
        if not 0 <= stage.schedule.floor <= 1:
            yield f"stage.{stage.name}.schedule.floor is {stage.schedule.floor}; it is a fraction from 0 to 1."


def intervals_are_positive(r: Resolved) -> Iterator[str]:
    """What happens every so many tokens has at least one token in between; leaving the key out means never."""
    c, o = r.recipe.checkpoint, r.recipe.observe
    for key, every in {"checkpoint.every": c.every, "observe.heldout_every": o.heldout_every}.items():
        if every is not None and every < 1:
            yield f"{key} is {every} tokens; it is at least 1, or left out for the ends of the run alone."
    if c.keep < 1:
        yield f"checkpoint.keep is {c.keep}; it is at least 1: the newest checkpoint always stays."


def a_base_brings_its_sizes(r: Resolved) -> Iterator[str]:
    """Sizes beside a base would be ignored, so they are refused; a base reads as many positions as it was made for."""
    if r.base is None:
        return
    for name in (field.name for field in dataclasses.fields(Model) if field.name not in ("base", "family")):
        if (given := getattr(r.recipe.model, name)) is not None:
            yield (
                f"model.{name} is {given} beside model.base = {r.recipe.model.base!r}, whose {name} is "
                f"{getattr(r.shape, name)}: remove model.{name}, or model.base for a fresh model."
            )
    for stage in r.recipe.stage:
        if stage.sequence > r.shape.max_positions:
            yield (
                f"stage.{stage.name}.sequence is {stage.sequence}, but the base reads at most {r.shape.max_positions} "
                f"positions: set stage.{stage.name}.sequence to {r.shape.max_positions} or less."
            )


def stages_are_named_once(r: Resolved) -> Iterator[str]:
    """There is at least one stage, and each has a name of its own that an override can hold."""
    names = [stage.name for stage in r.recipe.stage]
    if not names:
        yield "The recipe has no [[stage]]: add one with name, tokens, sequence, batch and mixture."
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Two stages are named {name!r}: overrides address a stage by its name, so rename one of them."
    for name in names:
        if not name or "." in name or "=" in name:
            yield f"A stage is named {name!r}: overrides address it by its name, so give it one without . and =."


def schedules_fit_their_stage(r: Resolved) -> Iterator[str]:
    """Warm-up and decay happen inside the stage; only `wsd` has a decay of a length of its own."""
    for stage in r.recipe.stage:
        if stage.schedule.decay and stage.schedule.kind != "wsd":
            yield (
                f"stage.{stage.name}.schedule.decay is {stage.schedule.decay} tokens, but the kind is "
                f'"{stage.schedule.kind}", which has none: remove it, or set schedule.kind to "wsd".'
            )
        used = stage.schedule.warmup + stage.schedule.decay
        if used > stage.tokens:
            yield (
                f"stage.{stage.name}.schedule uses {used} tokens for warm-up and decay, but the stage has "
                f"{stage.tokens}: shorten schedule.warmup or schedule.decay, or raise stage.{stage.name}.tokens."
            )


def mixtures_name_domains(r: Resolved) -> Iterator[str]:
    """Domains are known, every weighted domain has a source, and weights are not negative."""
    present = {source.domain for source in r.recipe.data.sources.values()}
    for name, source in r.recipe.data.sources.items():
        if source.domain not in DOMAINS:
            yield f"data.sources.{name}.domain is {source.domain!r}: {nearest(source.domain, DOMAINS)}"
    for stage in r.recipe.stage:
        for domain, weight in stage.mixture.items():
            if weight < 0:
                yield f"stage.{stage.name}.mixture.{domain} is {weight}; a weight is at least 0."
            elif domain not in DOMAINS:
                yield f"stage.{stage.name}.mixture names {domain!r}: {nearest(domain, DOMAINS)}"
            elif weight > 0 and domain not in present:
                yield (
                    f"stage.{stage.name}.mixture names {domain!r}, but no source of [data.sources] has that domain: "
                    f"{nearest(domain, present)}"
                )
        if sum(stage.mixture.values()) <= 0:
            yield f"stage.{stage.name}.mixture has no weight above 0: give one domain at least a weight, such as 1."


def sources_share_their_domain(r: Resolved) -> Iterator[str]:
    """Within a domain all sources have a weight, or none has; caps are numbers of epochs."""
    nodes = r.recipe.data.sources
    for name, node in nodes.items():
        if node.weight is not None and node.weight < 0:
            yield f"data.sources.{name}.weight is {node.weight}; a weight is at least 0."
        if node.max_epochs is not None and node.max_epochs <= 0:
            yield f"data.sources.{name}.max_epochs is {node.max_epochs}; it is above 0, or left out for no cap."
    for domain in sorted({node.domain for node in nodes.values()}):
        members = {name: node.weight for name, node in nodes.items() if node.domain == domain}
        given = [name for name, weight in members.items() if weight is not None]
        if given and len(given) < len(members):
            missing = next(name for name, weight in members.items() if weight is None)
            yield (
                f"data.sources.{given[0]}.weight is {members[given[0]]}, but data.sources.{missing}, of the same "
                f"domain {domain!r}, has none: give all sources of a domain a weight, or none (they share by tokens)."
            )
        elif given and not any(members.values()):
            yield f"All sources of the domain {domain!r} have the weight 0: give one at least a weight above it."


def steps_are_read_ahead(r: Resolved) -> Iterator[str]:
    """Reading ahead is a number of steps."""
    if r.recipe.data.prefetch < 0:
        yield f"data.prefetch is {r.recipe.data.prefetch}; it is a number of steps, 0 or more."


def megatron_order_is_whole(r: Resolved) -> Iterator[str]:
    """The order of a Megatron run names sources that are there, which are read as Megatron reads them."""
    order, nodes = r.recipe.data.megatron, r.recipe.data.sources
    if order is None:
        return
    for name in order.sources:
        if name not in nodes:
            yield f"data.megatron.sources names {name!r}: {nearest(name, nodes)}"
        elif nodes[name].window != "stream":
            yield f'data.sources.{name}.window is "{nodes[name].window}", but Megatron\'s order knows "stream" only.'
    if missing := sorted(set(nodes) - set(order.sources)):
        yield f"data.megatron.sources lacks {missing[0]!r} of [data.sources]: name it there, or remove the source."
    if len(order.sources) > 1 and any(nodes[name].weight is None for name in order.sources if name in nodes):
        yield "With data.megatron every source of [data.sources] needs the weight that it has in the run's --data-path."
    for name in order.sources:
        if name in nodes and nodes[name].max_epochs is not None:
            yield f"data.sources.{name}.max_epochs is set, but Megatron's order knows no caps: remove it."
    if not 0 <= order.consumed < order.samples:
        yield f"data.megatron.consumed is {order.consumed}; it is from 0 to samples - 1 = {order.samples - 1}."
    lengths = {stage.sequence for stage in r.recipe.stage}
    if len(lengths) > 1:
        yield f"data.megatron has one sequence length, but the stages have {sorted(lengths)}: make them one."


def precision_is_built(r: Resolved) -> Iterator[str]:
    """Formats and backends that are not there yet are refused by name."""
    precision = r.recipe.precision
    if precision.format == "fp8":
        yield 'precision.format is "fp8", which this version cannot train in: set it to "bf16" or "fp32".'
    if precision.backend != "torch":
        yield f'precision.backend is "{precision.backend}", which this version does not have: set it to "torch".'
