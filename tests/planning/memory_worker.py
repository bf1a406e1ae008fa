"""One process of a grid that trains a step of each recipe and writes down the bytes of its real tensors.

`python memory_worker.py JOBS.json OUT-PREFIX`, with RANK and WORLD_SIZE set.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


class Saved:
    """Counts the storages that autograd keeps for backward passes: the most bytes at any moment."""

    def __init__(self, weights: set[int]) -> None:
        self.weights, self.alive, self.now, self.peak = weights, {}, 0, 0

    def pack(self, tensor: Any) -> Any:
        class Held:
            def __init__(held) -> None:  # noqa: N805
                held.tensor = tensor

            def __del__(held) -> None:  # noqa: N805
                self.add(held.tensor, -1)

        self.add(tensor, 1)
        return Held()

    def add(self, tensor: Any, change: int) -> None:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self.weights:
            return
        before = self.alive.get(place, 0)
        self.alive[place] = before + change
        self.now += storage.nbytes() * (bool(before + change) - bool(before))
        self.peak = max(self.peak, self.now)


def step(engine: Any, stage: Any, vocab: int, count: int, documents: bool) -> None:
    import torch

    from megatron_heph.engine.micro_batch import MicroBatch

    size = (stage.micro_batch, stage.sequence)
    edges = torch.arange(0, stage.micro_batch * stage.sequence + 1, stage.sequence, dtype=torch.int32)
    if documents:  # as large as they get, so that a context rank has the most keys
        edges = torch.cat([edges[:-1], edges[-1:] - 1, edges[-1:]])
    batch = MicroBatch(
        tokens_BL=torch.randint(0, vocab, size), labels_BL=torch.randint(0, vocab, size),
        loss_BL=torch.ones(size, dtype=torch.bool),
        sources_B=torch.zeros(stage.micro_batch, dtype=torch.int64), cu_seqlens=edges if documents else None,
    )  # fmt: skip
    engine.train_step([batch] * count, 1e-3)


def measure(resolved: Any, profiled: bool = False) -> dict[str, int]:
    import torch

    from megatron_heph.engine.adam import chained
    from megatron_heph.engine.build import begin, build_engine
    from megatron_heph.engine.grid import start_grid

    stage = resolved.recipe.stage[0]
    with start_grid(resolved.grid, virtual=resolved.recipe.parallel.virtual) as grid:
        engine = build_engine(resolved, grid, 1)
        begin(engine, resolved)
        storages = {p.untyped_storage().data_ptr(): p.untyped_storage() for m in engine.models for p in m.parameters()}
        saved = Saved(set(storages))
        count = resolved.micro_batches(stage)
        documents = any(source.attention == "document" for source in resolved.recipe.data.sources.values())
        with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda held: held.tensor):
            for apart in {False, documents}:  # micro-batches of either kind come
                step(engine, stage, resolved.shape.vocab, count, apart)
        optimizers = [part.optimizer for part in chained(engine.optimizer.inner) if part.optimizer is not None]
        moments = [m for o in optimizers for state in o.state.values() for m in (state["exp_avg"], state["exp_avg_sq"])]
        masters = [
            p for o in optimizers for group in o.param_groups for p in group["params"]
            if p.untyped_storage().data_ptr() not in storages
        ]  # fmt: skip
        return {
            "parameters": sum(p.numel() for m in engine.models for p in m.parameters()),
            "weights": sum(storage.nbytes() for storage in storages.values()),
            "gradients": sum(buffer.grad_data.nbytes for chunk in engine.chunks for buffer in chunk.buffers),
            "optimizer": sum(t.nbytes for t in (*moments, *masters)),
            "saved": saved.peak,
            "above": _highest(lambda: step(engine, stage, resolved.shape.vocab, count, documents)) if profiled else 0,
        }


def _highest(work: Any) -> int:
    """The most bytes that torch's allocator had given out above what it had given out before `work`."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = highest = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        highest = max(highest, now)
    return highest


def main() -> None:
    import torch

    torch.set_num_threads(1)
    import torch.distributed as dist

    from megatron_heph.recipe.resolve import recipe_from_table, resolve
    from megatron_heph.recipe.resolved import Machine
    from megatron_heph.train.worker import silence_notes

    silence_notes()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", rank=rank, world_size=world)
    results = {}
    for name, table in json.loads(Path(sys.argv[1]).read_text()).items():
        results[name] = measure(resolve(recipe_from_table(table), Machine(cores=world, gpus=0, world=world)))
    Path(f"{sys.argv[2]}-{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
