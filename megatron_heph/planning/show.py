"""A plan as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from megatron_heph.observe.overview import aligned
from megatron_heph.observe.units import count, duration
from megatron_heph.planning.compute import Flops
from megatron_heph.planning.memory import ProcessMemory
from megatron_heph.planning.plan import Plan
from megatron_heph.planning.stages import StagePlan

_HEIGHT = 4                             # lines of the drawing
_RANKS = 8                              # pipeline ranks that are listed; of more only the one that needs most
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def lines(plan: Plan) -> list[str]:
    """The whole plan."""
    makers = (_head, _stages, _rates, _data, _memory, _work, _warnings)
    parts = [part for make in makers if (part := list(make(plan)))]
    return [line for part in parts for line in ("", *part)][1:]


def size(number: float) -> str:
    """Bytes in decimal units: 950 B, 12.3 MB."""
    text = count(number)
    return f"{text} B" if text[-1].isdigit() else f"{text[:-1]} {'G' if text[-1] == 'B' else text[-1]}B"


def drawing(values: Sequence[float], height: int = _HEIGHT) -> list[str]:
    """Bars from zero to the largest value, `height` lines high, an eighth of a line at the finest."""
    top = max(values, default=0.0)
    eighths = [round(value / top * height * 8) if top else 0 for value in values]
    return [
        "".join(_EIGHTHS[min(8, max(0, filled - 8 * line))] for filled in eighths).rstrip()
        for line in reversed(range(height))
    ]


def _head(plan: Plan) -> Iterator[str]:
    processes = "process" if plan.grid.world == 1 else "processes"
    extras = [f"{plan.virtual} chunks per pipeline rank"] if plan.virtual > 1 else []
    extras += ["sequence parallel"] if plan.sequence_parallel else []
    extras += ["distributed optimizer"] if plan.distributed_optimizer and plan.grid.data * plan.grid.context > 1 else []
    where = f" ({plan.base_folder})" if plan.base_folder else ""
    grid = f"{plan.grid}, {plan.grid.world} {processes}" if plan.grid.world > 1 else "one process"
    yield f"{plan.name}: {plan.steps:,} steps, {count(plan.tokens)} tokens"
    yield f"base         {plan.base}{where}"
    yield f"parameters   {plan.parameters:,}, {plan.non_embedding_parameters:,} without embeddings"
    yield f"grid         {', '.join([f'{grid} on {plan.device}', *extras])}"
    yield f"precision    {plan.precision}"
    yield f"run          {plan.run.folder}: {_run(plan)}"


def _run(plan: Plan) -> str:
    return {
        "new": "new",
        "begun": "begun, but without a checkpoint: it would begin anew",
        "resumable": f"would be resumed from step {plan.run.step:,}; {plan.run.left:,} steps are left",
        "finished": f"finished, all {plan.run.step:,} steps are there",
        "refused": "would be refused",
    }[plan.run.state]


def _stages(plan: Plan) -> Iterator[str]:
    header = ("stage", "steps", "tokens", "batch", "samples", "sequence", "micro-batches/rank", "mixture")
    yield from aligned(header, [_stage(stage) for stage in plan.stages])


def _stage(stage: StagePlan) -> tuple[str, ...]:
    mixture = ", ".join(f"{domain} {share:.1%}" for domain, share in stage.mixture.items())
    return (
        stage.name, f"{stage.steps:,}", f"{stage.tokens:,}", f"{stage.batch:,}", f"{stage.samples:,}",
        f"{stage.sequence:,}", f"{stage.micro_batches} of {stage.micro_batch}", mixture,
    )  # fmt: skip


def _rates(plan: Plan) -> Iterator[str]:
    top = max(plan.learning_rates)
    for i, row in enumerate(drawing(plan.learning_rates)):
        yield f"{f'{top:.2e}' if i == 0 else '':>8} ▕{row}"
    width = len(plan.learning_rates)
    yield f"{'':>8}  {'step 1':<{width // 2}}{f'step {plan.steps:,}':>{width - width // 2}}"
    points = [(stage.name, point) for stage in plan.stages for point in stage.rates]
    rows = [(name, point.what, f"{point.step:,}", f"{point.rate:.3e}") for name, point in points]
    yield from aligned(("stage", "learning rate", "step", "rate"), rows)


def _data(plan: Plan) -> Iterator[str]:
    rows = [
        (source.name, source.domain, f"{source.tokens:,}", f"{source.taken:,}", f"{source.taken / plan.tokens:.1%}",
         f"{source.epochs:.2f}")
        for source in plan.sources
    ]  # fmt: skip
    yield from aligned(("source", "domain", "available", "taken", "share", "epochs"), rows)
    if plan.heldout:
        sets = ", ".join(f"{held.domain} {held.measured:,}" for held in plan.heldout)
        yield f"held out, {plan.heldout_measurements} times: {sets} tokens"


def _memory(plan: Plan) -> Iterator[str]:
    largest = max(plan.memory, key=lambda memory: memory.peak)
    rows = [
        (_rank(plan, memory), count(memory.parameters), *map(size, _parts(memory)))
        for memory in (plan.memory if len(plan.memory) <= _RANKS else [largest])
    ]
    header = ("memory of", "parameters", "weights", "gradients", "optimizer", "activations", "logits", "peak")
    yield from aligned(header, rows)
    if plan.machine_memory is not None:
        yield f"all processes {size(plan.memory_together)}; this machine has {size(plan.machine_memory)}"


def _rank(plan: Plan, memory: ProcessMemory) -> str:
    if plan.grid.pipeline == 1:
        return "each process"
    return f"pipeline rank {memory.pipeline_rank}" + (", the largest" if len(plan.memory) > _RANKS else "")


def _parts(memory: ProcessMemory) -> Iterable[int]:
    return (
        memory.weights, memory.gradients, memory.optimizer, memory.activations, memory.logits, memory.peak
    )  # fmt: skip


def _work(plan: Plan) -> Iterator[str]:
    rows = [(f"a token of {stage.name}", *_flops(stage.flops_per_token)) for stage in plan.stages]
    yield from aligned(("FLOP", "causal attention", "full attention"), [*rows, ("the run", *_flops(plan.flops))])
    kept = plan.checkpoints
    yield f"time         {_time(plan)}"
    yield (
        f"checkpoints  {size(kept.bytes)} each, {kept.written:,} written, {kept.kept} kept "
        f"(at most {size(kept.disk)} at once) in {kept.folder}"
    )


def _flops(flops: Flops) -> tuple[str, str]:
    return f"{flops.causal:.3e}", f"{flops.full:.3e}"


def _time(plan: Plan) -> str:
    if plan.speed is None or plan.seconds is None or plan.remaining_seconds is None:
        return "not known: this run has measured no speed on this grid yet; give one with --tokens-per-second"
    left = f", {duration(plan.remaining_seconds)} of it left" if plan.run.tokens else ""
    rate = f"{plan.speed.tokens_per_second:,.0f} tokens/s, {plan.speed.source}"
    return f"{duration(plan.seconds)} of training steps at {rate}{left}"


def _warnings(plan: Plan) -> Iterator[str]:
    for warning in plan.warnings:
        yield f"warning: {warning}"
