"""A training step of ours on one CPU thread against plain transformers: the same weights, tokens and AdamW.

    python benchmarks/step_cpu.py bases/smollm2-135m-instruct --steps 6

Steps alternate in one process, so that a noisy machine slows both; CPU seconds and their ratio are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

SEQUENCE, SAMPLES, RATE = 384, 2, 1e-5


def ours(base: Path, tokens_BL: torch.Tensor, stack: contextlib.ExitStack) -> Callable[[], float]:
    """Our engine: megatron-core's GPTModel with the `torch` backend, on a grid of one."""
    from megatron_heph.engine.build import begin, build_engine
    from megatron_heph.engine.grid import start_grid
    from megatron_heph.engine.step import MicroBatch
    from megatron_heph.recipe.resolve import recipe_from_table, resolve
    from megatron_heph.recipe.resolved import Machine

    stage = {"name": "a", "tokens": SEQUENCE, "sequence": SEQUENCE, "batch": SEQUENCE, "mixture": {"text": 1.0}}
    table = {
        "name": "bench",
        "model": {"base": str(base)},
        "data": {"sources": {"none": {"path": "", "domain": "text"}}},
        "parallel": {"data": 1},
        "precision": {"format": "fp32"},
        "optim": {"lr": RATE, "weight_decay": 0.1},
        "stage": [stage],
    }
    resolved = resolve(recipe_from_table(table), Machine(cores=1, gpus=0))
    grid = stack.enter_context(start_grid(resolved.grid))
    engine = build_engine(resolved, grid, sources=1)
    begin(engine, resolved)
    batch = MicroBatch(
        tokens_BL=tokens_BL[:, :-1],
        labels_BL=tokens_BL[:, 1:],
        weights_BL=torch.ones(SAMPLES, SEQUENCE),
        sources_B=torch.zeros(SAMPLES, dtype=torch.int64),
    )
    return lambda: engine.train_step([batch], RATE)[0].mean


def plain_transformers(base: Path, tokens_BL: torch.Tensor) -> Callable[[], float]:
    """What a user writes without us: AutoModelForCausalLM (SDPA attention), torch's AdamW, clipping at 1."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="sdpa").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)

    def step() -> float:
        optimizer.zero_grad()
        logits = model(tokens_BL[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens_BL[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def main() -> None:
    """Alternates the two and prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    torch.set_num_threads(1)
    vocab = json.loads((args.base / "config.json").read_text())["vocab_size"]
    tokens_BL = torch.randint(vocab, (SAMPLES, SEQUENCE + 1), generator=torch.Generator().manual_seed(0))
    losses: dict[str, list[float]] = {"ours": [], "transformers": []}
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    with contextlib.ExitStack() as stack:
        steps = {"ours": ours(args.base, tokens_BL, stack), "transformers": plain_transformers(args.base, tokens_BL)}
        for _ in range(args.steps + 1):
            for name, step in steps.items():
                started = time.process_time()
                losses[name].append(step())
                seconds[name].append(time.process_time() - started)
    median = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first step warms up
    print(
        json.dumps(
            {
                "cpu_seconds_per_step": median,
                "tokens_per_cpu_second": {n: round(SAMPLES * SEQUENCE / s, 1) for n, s in median.items()},
                "ratio_transformers_over_ours": round(median["transformers"] / median["ours"], 3),
                "loss_difference_per_step": [abs(a - b) for a, b in zip(*losses.values(), strict=True)],
                "torch": torch.__version__,
                "cpu": platform.processor() or platform.machine(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
