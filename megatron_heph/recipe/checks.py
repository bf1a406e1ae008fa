"""What must hold between the keys of a recipe: one small named function each.

A message says what is wrong, both values, the legal values nearby, and the key to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.document import DOMAINS
from megatron_heph.recipe.resolve import Resolved

Check = Callable[[Resolved], Iterator[str]]


def check(resolved: Resolved) -> None:
    """Runs every check; raises InputError with all that is wrong, one sentence each."""
    for group in (FIRST, CHECKS):  # the others divide by what the first ones look at
        problems = [problem for test in group for problem in test(resolved)]
        if problems:
            raise InputError(" ".join(problems))


def _divisors(number: int, at_most: int = 64) -> str:
    return ", ".join(str(d) for d in range(1, min(number, at_most) + 1) if number % d == 0)


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


def tensor_divides_the_model(r: Resolved) -> Iterator[str]:
    """Heads, KV heads, FFN width and vocabulary are shared out evenly over the tensor ranks."""
    tp = r.grid.tensor
    shape = r.shape
    sizes = {"heads": shape.heads, "KV heads": shape.kv_heads, "FFN width": shape.ffn, "vocabulary": shape.vocab}
    for name, size in sizes.items():
        if size % tp:
            common = [d for d in range(1, 65) if all(s % d == 0 for s in sizes.values())]
            yield (
                f"parallel.tensor is {tp}, which does not divide the model's {name} ({size}); "
                f"sizes that divide all of it: {', '.join(map(str, common))}. Change parallel.tensor "
                f"(or use parallel.pipeline or parallel.data instead)."
            )
            return


def pipeline_divides_layers(r: Resolved) -> Iterator[str]:
    """Every pipeline rank holds `virtual` chunks of equally many layers."""
    p = r.recipe.parallel
    chunks = p.pipeline * p.virtual
    if p.virtual > 1 and p.pipeline == 1:
        yield f"parallel.virtual is {p.virtual}, but parallel.pipeline is 1: interleaving needs at least 2 stages."
    elif r.shape.layers % chunks:
        yield (
            f"parallel.pipeline x parallel.virtual is {chunks}, which does not divide the model's {r.shape.layers} "
            f"layers; numbers that do: {_divisors(r.shape.layers)}. Change parallel.pipeline or parallel.virtual."
        )


def interleaving_never_batches_two_messages(r: Resolved) -> Iterator[str]:
    """With two stages the previous and the next rank are the same, and batched messages get mixed up.

    Messages between one pair of ranks match in the order they were posted; in an interleaved schedule
    on two stages a rank's `recv_prev` then receives its peer's `send_prev`.  Nothing fails: the
    gradients are wrong.
    """
    p = r.recipe.parallel
    if p.virtual > 1 and p.pipeline == 2 and p.p2p == "batched":
        yield (
            'parallel.p2p is "batched" with parallel.virtual = '
            f"{p.virtual} and parallel.pipeline = 2: the two directions' messages would be exchanged without an "
            'error and the gradients be wrong. Set parallel.p2p to "overlap" or "auto".'
        )


def micro_batches_fit_interleaving(r: Resolved) -> Iterator[str]:
    """The interleaved schedule works on groups of as many micro-batches as there are stages."""
    p = r.recipe.parallel
    for stage in r.recipe.stage if p.virtual > 1 else ():
        if (count := r.micro_batches(stage)) % p.pipeline:
            yield (
                f"stage.{stage.name} has {count} micro-batches per step, but interleaving needs a multiple of "
                f"parallel.pipeline = {p.pipeline}: change stage.{stage.name}.batch or parallel.virtual."
            )


def sequence_is_shared_out(r: Resolved) -> Iterator[str]:
    """Sequence and context parallelism cut a sample into equal parts."""
    p, grid = r.recipe.parallel, r.grid
    if p.sequence and grid.tensor == 1:
        yield "parallel.sequence is true, but parallel.tensor is 1: sequence parallelism lives inside a tensor group."
    for stage in r.recipe.stage:
        parts = (2 * grid.context if grid.context > 1 else 1) * (grid.tensor if p.sequence else 1)
        if stage.sequence % parts:
            below, above = stage.sequence // parts * parts, (stage.sequence // parts + 1) * parts
            yield (
                f"stage.{stage.name}.sequence is {stage.sequence}, but the grid ({grid}) cuts it into {parts} parts: "
                f"the nearest lengths are {below} and {above}."
            )


def batches_are_whole(r: Resolved) -> Iterator[str]:
    """A step is a whole number of micro-batches on every data parallel rank."""
    for stage in r.recipe.stage:
        unit = stage.sequence * stage.micro_batch * r.grid.data
        if stage.batch % unit:
            below, above = stage.batch // unit * unit, (stage.batch // unit + 1) * unit
            near = f"{below} and {above}" if below else f"{above}"
            yield (
                f"stage.{stage.name}.batch is {stage.batch} tokens, but a step is made of {unit} (sequence "
                f"{stage.sequence} x micro_batch {stage.micro_batch} x data parallel {r.grid.data}): nearest: {near}. "
                f"Change stage.{stage.name}.batch or parallel.data."
            )


def stages_are_named_once(r: Resolved) -> Iterator[str]:
    """There is at least one stage, and no two share a name."""
    names = [stage.name for stage in r.recipe.stage]
    if not names:
        yield "The recipe has no [[stage]]: add one with name, tokens, sequence, batch and mixture."
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Two stages are named {name!r}: overrides address a stage by its name, so names are used once."


def schedules_fit_their_stage(r: Resolved) -> Iterator[str]:
    """Warm-up and decay happen inside the stage."""
    for stage in r.recipe.stage:
        used = stage.schedule.warmup + stage.schedule.decay
        if used > stage.tokens:
            yield (
                f"stage.{stage.name}.schedule uses {used} tokens for warm-up and decay, but the stage has "
                f"{stage.tokens}: shorten schedule.warmup or schedule.decay, or raise stage.{stage.name}.tokens."
            )


def mixtures_name_domains(r: Resolved) -> Iterator[str]:
    """Domains are known, every weighted domain has a source, and weights are positive."""
    present = {source.domain for source in r.recipe.data.sources.values()}
    for name, source in r.recipe.data.sources.items():
        if source.domain not in DOMAINS:
            yield f"data.sources.{name}.domain is {source.domain!r}: {nearest(source.domain, DOMAINS)}"
    for stage in r.recipe.stage:
        for domain, weight in stage.mixture.items():
            if weight < 0:
                yield f"stage.{stage.name}.mixture.{domain} is {weight}; a weight is not negative."
            elif weight > 0 and domain not in present:
                yield (
                    f"stage.{stage.name}.mixture names {domain!r}, but no source of [data.sources] has that domain: "
                    f"{nearest(domain, present)}"
                )
        if sum(stage.mixture.values()) <= 0:
            yield f"stage.{stage.name}.mixture has no weight above 0."


def block_holds_whole_samples(r: Resolved) -> Iterator[str]:
    """A block of the permutation is a multiple of every sequence length."""
    for stage in r.recipe.stage:
        if r.block % stage.sequence:
            yield (
                f"data.block is {r.block} tokens, which is no multiple of stage.{stage.name}.sequence = "
                f"{stage.sequence}: remove data.block (it is then chosen), or set a common multiple."
            )


def precision_is_built(r: Resolved) -> Iterator[str]:
    """Formats and backends that are not there yet are refused by name."""
    precision = r.recipe.precision
    if precision.format == "fp8":
        yield 'precision.format is "fp8", which this version cannot train in: set it to "bf16" or "fp32".'
    if precision.backend != "torch":
        yield f'precision.backend is "{precision.backend}", which this version does not have: set it to "torch".'


def launcher_agrees(r: Resolved) -> Iterator[str]:
    """A launcher that started processes started as many as the grid has."""
    world = r.machine.world
    if world is not None and world != r.grid.world:
        yield (
            f"The launcher started {world} processes (WORLD_SIZE), but the grid ({r.grid}) has {r.grid.world}: "
            f"start {r.grid.world}, or change parallel.data (now {r.grid.data})."
        )


def gpus_are_enough(r: Resolved) -> Iterator[str]:
    """A local run gives each process a GPU of its own."""
    if r.machine.gpus and r.machine.world is None and r.grid.world > r.machine.gpus:
        yield (
            f"The grid ({r.grid}) has {r.grid.world} processes, but this machine has {r.machine.gpus} GPUs: make "
            f"parallel.tensor x pipeline x context x data at most {r.machine.gpus}, or start it on more nodes."
        )


FIRST: tuple[Check, ...] = (sizes_are_positive, stages_are_named_once)

CHECKS: tuple[Check, ...] = (
    tensor_divides_the_model,
    pipeline_divides_layers,
    interleaving_never_batches_two_messages,
    micro_batches_fit_interleaving,
    sequence_is_shared_out,
    batches_are_whole,
    schedules_fit_their_stage,
    mixtures_name_domains,
    block_holds_whole_samples,
    precision_is_built,
    launcher_agrees,
    gpus_are_enough,
)
