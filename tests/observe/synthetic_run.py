"""A run as the trainer would record it, through the same API, with losses from a simple law."""

from __future__ import annotations

import json
import math
from pathlib import Path

from megatron_heph.observe.metrics import MetricsLog
from megatron_heph.observe.rows import (
    FINISHED,
    Checkpoint,
    DomainLoss,
    End,
    Grid,
    Heldout,
    Row,
    SourceInfo,
    Start,
    Step,
)  # fmt: skip

LABEL = "SmolLM2-135M-Instruct, dequantised from 4-bit GGUF (Q4_1)"
BEGUN = 1_760_000_000.0
SOURCES = {
    "api": SourceInfo(domain="agent", tokens=18_000),
    "traces": SourceInfo(domain="agent", tokens=9_000),
    "stdlib": SourceInfo(domain="code", tokens=400_000),
    "docs": SourceInfo(domain="text", tokens=250_000),
}
MIXTURE = {"api": 384, "traces": 192, "stdlib": 480, "docs": 480}  # tokens of a step
STEPS, STEP_TOKENS = 200, 1536
BASE = {"agent": 2.412, "code": 1.688, "text": 3.104}


def at(number: int) -> float:
    """When a step ended."""
    return BEGUN + 1.1 * number


def start(run: str = "quickstart", **changes) -> Start:
    fields = {
        "run": run, "recipe_name": "quickstart", "label": LABEL, "parameters": 134_515_008, "world_size": 2,
        "grid": Grid(data=2), "device": "CPU, 8 cores, fp32", "time": BEGUN, "sources": SOURCES,
        "versions": {"megatron_heph": "0.1.0", "torch": "2.13.0", "megatron-core": "0.16.1"},
        "total_steps": STEPS, "total_tokens": STEPS * STEP_TOKENS,
    }  # fmt: skip
    return Start(**{**fields, **changes})


def step(number: int, *, loss: float | None = None, mixture: dict[str, int] | None = None) -> Step:
    counts = MIXTURE if mixture is None else mixture
    wobble = 0.06 * math.sin(number * 1.7) + 0.04 * math.sin(number * 0.37)
    by_source = {
        name: BASE[SOURCES[name].domain] - 0.5 * (1 - math.exp(-number / 60)) + wobble * (1 + 0.3 * len(name))
        for name in counts
    }
    mean = sum(counts[n] * by_source[n] for n in counts) / sum(counts.values())
    warm, decay = min(1.0, number / 10), min(1.0, (STEPS - number + 1) / 50)
    return Step(
        step=number, tokens=number * sum(counts.values()), stage="broad" if number <= 140 else "seed",
        loss=mean if loss is None else loss, lr=2e-4 * min(warm, decay), grad_norm=1.1 + wobble,
        tokens_per_second=1500 + 90 * math.sin(number) - (900 if number == 1 else 0), step_seconds=1.02,
        data_seconds=0.004, loss_by_source=by_source, tokens_by_source=dict(counts), time=at(number),
    )  # fmt: skip


def heldout(number: int, gain: dict[str, float]) -> Heldout:
    share = 1 - math.exp(-3 * number / STEPS)
    losses = {d: DomainLoss(loss=BASE[d] - gain[d] * share, tokens=24_576) for d in BASE}
    return Heldout(step=number, tokens=number * STEP_TOKENS, losses=losses, time=at(number))


def checkpoint(number: int) -> Checkpoint:
    path = f"checkpoints/step-{number:08d}"
    return Checkpoint(step=number, tokens=number * STEP_TOKENS, seconds=2.4, path=path, time=at(number))


def rows(
    *,
    gain: dict[str, float],
    run: str = "quickstart",
    steps: int = STEPS,
    control: bool = False,
    finished: bool = True,
) -> list[Row]:
    mixture = {"stdlib": 768, "docs": 768} if control else None
    result: list[Row] = [start(run), heldout(0, gain)]
    for number in range(1, steps + 1):
        result.append(step(number, mixture=mixture))
        if number % 20 == 0:
            result.append(heldout(number, gain))
        if number % 50 == 0:
            result.append(checkpoint(number))
    if finished:
        tokens = steps * STEP_TOKENS
        result.append(End(step=steps, tokens=tokens, seconds=1.1 * steps, reason=FINISHED, time=at(steps)))
    return result


def write_run(folder: Path, run_rows: list[Row]) -> Path:
    with MetricsLog(folder / "metrics.jsonl") as log:
        for row in run_rows:
            log.write(row)
    model = {"family": "llama", "layers": 30, "hidden": 576, "heads": 9, "kv_heads": 3, "ffn": 1536,
             "vocab": 49152, "label": LABEL}  # fmt: skip
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "recipe.toml").write_text('name = "quickstart"\n\n[optim]\nlr = 2e-4  # <peak> & "all"\n')
    return folder
