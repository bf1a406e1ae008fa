"""One process of a test grid that trains on samples with documents apart, without a loader.

`python -m support.segments_worker JOBS.json`, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set.  A job is
{"recipe": a table, "documents": whether they are apart, "recompute": bool, "out": where the losses go}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

STEPS, SAMPLES, SOURCES = 3, 8, 2


def batch_of_step(step: int, length: int, vocab: int, *, documents: bool) -> Any:
    """Samples with documents of 1 to `length` positions, some of one whole document, and labels without loss."""
    from megatron_heph.data.batch import Batch

    rng = np.random.default_rng(step)
    tokens = rng.integers(vocab // 4, size=(SAMPLES, length + 1)).cumsum(1) % vocab
    loss, sources = rng.random((SAMPLES, length)) < 0.8, rng.integers(SOURCES, size=SAMPLES)
    edges = set(range(0, (SAMPLES + 1) * length, length))
    if documents:
        cuts = rng.integers(2 * length, SAMPLES * length, size=3 * SAMPLES)  # the first two samples stay whole
        edges |= {int(cut) for cut in cuts} | {SAMPLES * length - 1}
    return Batch(
        tokens_BL=tokens[:, :-1].astype(np.uint16),
        labels_BL=tokens[:, 1:].astype(np.uint16),
        loss_BL=loss,
        sources_B=sources,
        cu_seqlens=np.array(sorted(edges), np.int32),
    )


def losses(job: dict[str, Any], world: int) -> list[dict[str, Any]]:
    from megatron_heph.engine.build import begin, build_engine
    from megatron_heph.engine.grid import start_grid
    from megatron_heph.recipe.resolve import recipe_from_table, resolve
    from megatron_heph.recipe.resolved import Machine
    from megatron_heph.train.batches import micro_batches, rows

    resolved = resolve(recipe_from_table(job["recipe"]), Machine(cores=world, gpus=0, world=world))
    stage = resolved.recipe.stage[0]
    found = []
    with start_grid(resolved.grid, virtual=resolved.recipe.parallel.virtual) as grid:
        engine = build_engine(resolved, grid, SOURCES)
        begin(engine, resolved)
        if job["recompute"]:
            engine.config.recompute_granularity, engine.config.recompute_method = "full", "uniform"
            engine.config.recompute_num_layers = 1
        for step in range(STEPS):
            whole = batch_of_step(step, stage.sequence, resolved.shape.vocab, documents=job["documents"])
            mine = micro_batches(rows(whole, slice(grid.data_rank, None, grid.size.data)), stage.micro_batch)
            assert any(batch.cu_seqlens is not None for batch in mine) == job["documents"]
            sums, norm = engine.train_step(mine, 3e-3)
            found.append({"loss": sums.loss_N.tolist(), "tokens": sums.tokens_N.tolist(), "norm": norm})
    return found


def main() -> None:
    import torch

    torch.set_num_threads(1)
    import torch.distributed as dist

    from megatron_heph.engine.core import megatron_version
    from megatron_heph.train.worker import silence_notes

    silence_notes()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", rank=rank, world_size=world)
    for job in json.loads(Path(sys.argv[1]).read_text()):
        found = losses(job, world)
        if rank == 0:
            Path(job["out"]).write_text(json.dumps({"megatron": megatron_version, "steps": found}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
