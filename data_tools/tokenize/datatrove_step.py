"""Tokenizing as steps of datatrove, so that its executors (local, Slurm, Ray) bring the workers.

    shards = SlurmPipelineExecutor([TokenizeShards(["corpus"], "data/api", options)], tasks=500, ...)
    SlurmPipelineExecutor([FinishShards(["corpus"], "data/api", options)], tasks=1, depends=shards, ...).run()

Rank r of n makes the shards r, r + n, ... of the same plan that `heph tokenize` would make, so the files
are the same, byte for byte, for any number of tasks; a task that is run again keeps the shards that it had
finished.  All ranks see one file system.  The second executor writes the manifest: until then a
half-finished source cannot be taken for a whole one.

Source of the step's contract: datatrove.pipeline.base.PipelineStep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_tools.tokenize.pipeline import Options, finish, make, prepare
from data_tools.tokenize.state import State
from data_tools.tokenize.workers import Progress
from megatron_heph.errors import InputError

try:
    from datatrove.pipeline.base import PipelineStep
except ImportError as error:
    raise InputError("Tokenizing under datatrove needs it: pip install 'megatron-heph[datatrove]'.") from error


class _Step(PipelineStep):
    type = "🔢 - TOKENIZER"

    def __init__(self, inputs: Sequence[str], prefix: str | Path, options: Options) -> None:
        """Takes what `tokenize` takes; `options.workers` are those of one task, by default one."""
        super().__init__()
        self.inputs = [inputs] if isinstance(inputs, str) else list(inputs)
        self.prefix = Path(prefix)
        self.options = replace(options, workers=options.workers or 1)

    def _refuse(self, data: Any) -> None:
        """The step reads files by byte ranges: documents from a step before it would be passed over."""
        if data is not None:
            raise InputError(
                f"{type(self).__name__} reads its inputs itself and is the only step of its pipeline, but a step "
                f"stands before it. Let that one end with a JsonlWriter in an executor of its own, and give its "
                f"folder as the input here, with depends= on that executor."
            )


class TokenizeShards(_Step):
    """Makes the shards of one rank; yields nothing.  Raises what `tokenize` raises."""

    name = "heph: shards"

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Makes the shards rank, rank + world_size, ...; counts text bytes, tokens and shards."""
        self._refuse(data)
        progress = Progress()

        def report(sums: Progress, total: int) -> None:
            nonlocal progress
            progress = sums

        with State(self.prefix).locked(shared=True), self.track_time("task"):
            job = prepare(self.inputs, self.prefix, self.options)
            mine = range(rank, len(job.tasks), world_size)
            make(job, mine, report)
        self.stat_update("shards", value=len(mine), unit="task")
        self.stat_update("text_bytes", value=progress.text_bytes, unit="task")
        self.stat_update("tokens", value=progress.tokens, unit="task")
        yield from ()


class FinishShards(_Step):
    """Writes the manifest once all shards are there; for an executor of one task that depends on the other."""

    name = "heph: manifest"

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Rank 0 finishes; InputError names the shards that are missing."""
        self._refuse(data)
        if rank == 0:
            with State(self.prefix).locked(), self.track_time("task"):
                manifest = finish(prepare(self.inputs, self.prefix, self.options))
            self.stat_update("documents", value=manifest.documents, unit="task")
            self.stat_update("tokens", value=manifest.tokens, unit="task")
        yield from ()
