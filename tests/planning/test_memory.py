"""The memory of a plan is that of real processes: the same recipes are trained for a step and their tensors counted."""

from __future__ import annotations

import copy
import json
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from memory_worker import measure
from support import tiny
from support.processes import environment

from megatron_heph.planning.memory import ProcessMemory, process_memory
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine, Resolved
from megatron_heph.train.worker import silence_notes

pytestmark = pytest.mark.grid
WORKER = Path(__file__).with_name("memory_worker.py")
DATA = {"sources": {"agent": {"path": "unread", "domain": "agent"}}}

# name -> processes, [parallel], precision, changes of [model]
JOBS: dict[str, tuple[int, dict[str, Any], str, dict[str, Any]]] = {
    "one": (1, {"distributed_optimizer": False}, "fp32", {}),
    "one-bf16": (1, {"distributed_optimizer": False}, "bf16", {}),
    "one-distopt": (1, {}, "bf16", {}),
    "untied-no-groups": (1, {}, "fp32", {"tied": False, "kv_heads": 4}),
    "odd-sizes": (1, {}, "bf16", {"hidden": 60, "head_dim": 14, "ffn": 90, "vocab": 250}),
    "dp2-distopt": (2, {"data": 2}, "fp32", {}),
    "dp2-distopt-bf16": (2, {"data": 2}, "bf16", {}),
    "dp2": (2, {"data": 2, "distributed_optimizer": False}, "bf16", {}),
    "tp2": (2, {"tensor": 2}, "fp32", {}),
    "tp2-sequence": (2, {"tensor": 2, "sequence": True}, "bf16", {}),
    "cp2": (2, {"context": 2}, "fp32", {}),
    "cp2-no-groups": (2, {"context": 2}, "bf16", {"kv_heads": 4}),
    "pp2": (2, {"pipeline": 2}, "fp32", {}),
    "pp2-untied": (2, {"pipeline": 2, "distributed_optimizer": False}, "bf16", {"tied": False}),
    "pp2-virtual2": (2, {"pipeline": 2, "virtual": 2}, "fp32", {}),
    "one-documents": (1, {}, "bf16", {}),
    "no-groups-documents": (1, {}, "fp32", {"kv_heads": 4}),
    "cp2-documents": (2, {"context": 2}, "fp32", {}),
    "cp2-no-groups-documents": (2, {"context": 2}, "bf16", {"kv_heads": 4}),
    "tp2-sequence-documents": (2, {"tensor": 2, "sequence": True}, "bf16", {}),
}
LARGER = {"layers": 4, "hidden": 256, "heads": 4, "kv_heads": 2, "ffn": 704, "vocab": 4096, "tied": True}


def table(parallel: dict[str, Any], precision: str, model: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(tiny.RECIPE)
    result["stage"][0]["mixture"] = {"agent": 1.0}
    result["stage"][0]["batch"] = 512
    return {
        **result, "data": DATA, "precision": {"format": precision}, "model": {**result["model"], **model},
        "parallel": {"data": 1, **parallel},
    }  # fmt: skip


def recipe_of(name: str) -> dict[str, Any]:
    result = table(*JOBS[name][1:])
    if name.endswith("documents"):
        result["data"] = {"sources": {"agent": {**DATA["sources"]["agent"], "attention": "document"}}}
    return result


def larger(precision: str) -> dict[str, Any]:
    result = table({}, precision, LARGER)
    result["stage"][0].update(sequence=256, batch=1024, micro_batch=2, tokens=1024)
    return result


def planned(recipe: dict[str, Any], world: int) -> Resolved:
    return resolve(recipe_from_table(recipe), Machine(cores=world, gpus=0, world=world))


def run_processes(jobs: dict[str, Any], world: int, folder: Path) -> list[dict[str, Any]]:
    """Trains a step of each recipe on `world` processes; what each rank measured."""
    listing = folder / f"jobs-{world}.json"
    listing.write_text(json.dumps(jobs))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = environment(WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    command = [sys.executable, str(WORKER), str(listing), str(folder / f"out-{world}")]
    workers = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True)
        for rank in range(world)
    ]
    try:
        errors = [worker.communicate(timeout=300)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert all(worker.returncode == 0 for worker in workers), errors
    return [json.loads((folder / f"out-{world}-{rank}.json").read_text()) for rank in range(world)]


def run_here(recipes: dict[str, dict[str, Any]], profiled: bool) -> dict[str, Any]:
    """The same in this process alone."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            silence_notes()
            return {name: measure(planned(recipe, 1), profiled) for name, recipe in recipes.items()}
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """World size -> rank -> job -> what was measured."""
    jobs = {w: {name: recipe_of(name) for name, job in JOBS.items() if job[0] == w} for w in (1, 2)}
    two = run_processes(jobs[2], 2, tmp_path_factory.mktemp("memory"))
    large = {f"larger-{precision}": larger(precision) for precision in ("fp32", "bf16")}
    return {1: [run_here(jobs[1], profiled=False) | run_here(large, profiled=True)], 2: two}


@pytest.mark.parametrize("name", JOBS)
def test_tensors_of_every_process(name: str, measured: dict[int, list[dict[str, Any]]]) -> None:
    world = JOBS[name][0]
    resolved = planned(recipe_of(name), world)
    for rank, ranks in enumerate(measured[world]):
        real = ranks[name]
        memory = process_memory(resolved, rank if resolved.grid.pipeline > 1 else 0)
        assert memory.parameters == real["parameters"]
        assert memory.weights == real["weights"]
        assert memory.gradients == real["gradients"]
        assert_state(resolved, memory, real["optimizer"])
        uneven = _first_mask(resolved) if rank == 0 and name.startswith("cp2") and name.endswith("documents") else 0
        assert saved(resolved, memory) == pytest.approx(real["saved"] + uneven, rel=0.001)


def _first_mask(resolved: Resolved) -> int:
    """The first chunk of a sequence has as many keys as queries, so its rank needs a mask for its later one alone."""
    stage = resolved.recipe.stage[0]
    element = 2 if resolved.recipe.precision.format == "bf16" else 4
    return element * stage.micro_batch * (stage.sequence // (2 * resolved.grid.context)) ** 2 * resolved.shape.layers


def saved(resolved: Resolved, memory: ProcessMemory) -> int:
    """What backward passes read again: all but the bf16 logits, which are there while the softmax is made of them."""
    stage, grid = resolved.recipe.stage[0], resolved.grid
    tokens = stage.micro_batch * stage.sequence // grid.context
    logits = 2 * tokens * resolved.shape.vocab // grid.tensor
    bf16 = resolved.recipe.precision.format == "bf16" and memory.logits > 0
    return memory.activations + memory.logits - (logits if bf16 else 0)


def assert_state(resolved: Resolved, memory: ProcessMemory, real: int) -> None:
    """Exact but for the padding, which is in the buffers and has no optimizer state."""
    each = 8 if resolved.recipe.precision.format == "fp32" else 12
    shards = resolved.grid.data * resolved.grid.context
    padding = memory.gradients // 4 - memory.parameters
    assert real <= memory.optimizer <= real + each * padding
    if shards == 1:
        assert real == each * memory.parameters
    if not padding:
        assert real == memory.optimizer


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_of_a_step(precision: str, measured: dict[int, list[dict[str, Any]]]) -> None:
    """Beside what autograd keeps, a step has short-lived tensors: the plan leaves out at most a twentieth."""
    resolved = planned(larger(precision), 1)
    memory, real = process_memory(resolved, 0), measured[1][0][f"larger-{precision}"]
    assert saved(resolved, memory) == pytest.approx(real["saved"], rel=0.001)
    assert memory.peak - memory.lasting == pytest.approx(real["above"], rel=0.05)


def test_the_update_can_be_the_peak() -> None:
    """One short sample through a model with a large table: Adam's temporary is larger than all activations."""
    memory = process_memory(planned(table({}, "fp32", {"vocab": 65536}), 1), 0)
    assert memory.update == memory.optimizer // 2
    small = table({}, "fp32", {"layers": 64, "vocab": 64})
    small["stage"][0].update(sequence=2, micro_batch=1)
    memory = process_memory(planned(small, 1), 0)
    assert memory.peak == memory.lasting + memory.update


def test_a_gpu_keeps_less_of_a_norm() -> None:
    """CUDA's norm is one kernel: per token and norm, one input instead of two fp32 ones."""
    recipe = recipe_from_table(table({}, "bf16", {}))
    gpu = process_memory(resolve(recipe, Machine(cores=1, gpus=1)), 0)
    cpu = process_memory(resolve(recipe, Machine(cores=1, gpus=0)), 0)
    tokens, norms, hidden = 2 * 32, 2 * 4 + 1, 64
    assert cpu.activations - gpu.activations == tokens * norms * (2 * 4 - 2) * hidden
    assert cpu.lasting == gpu.lasting


def test_pipeline_ranks_wait_for_those_behind_them() -> None:
    """1F1B on four ranks: rank r keeps 4 - r micro-batches, so activations fall from the first to the last."""
    recipe = table({"pipeline": 4}, "fp32", {"tied": False})
    resolved = planned(recipe, 4)
    layers = [process_memory(resolved, rank).activations for rank in range(4)]
    assert layers[1] == 3 * layers[2] // 2 and layers[0] > layers[1] > layers[2] > 0
    recipe["stage"][0].update(batch=64, tokens=64)  # one micro-batch a step: nothing waits
    single = planned(recipe, 4)
    assert process_memory(single, 1).activations == process_memory(single, 2).activations
