"""What a session says: to metrics.jsonl, to the sinks, and on one progress line.  Rank 0 speaks for all."""

from __future__ import annotations

import platform
import time
from types import TracebackType

import numpy
import torch

from megatron_heph import __version__
from megatron_heph.checkpoint.store import TrainState
from megatron_heph.data.segments import Point, Segment
from megatron_heph.data.sources import Sources
from megatron_heph.data.timeline import remaining_steps
from megatron_heph.engine.core import megatron_version
from megatron_heph.engine.grid import Grid
from megatron_heph.engine.step import LossSums
from megatron_heph.observe import rows
from megatron_heph.observe.metrics import MetricsLog
from megatron_heph.observe.progress import Progress
from megatron_heph.observe.sinks import open_sinks
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.train.run_folder import RunFolder, label


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
        "megatron_heph": __version__,
        "megatron-core": megatron_version,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


class Journal:
    """Writes rows as they happen; on other ranks than 0 it does nothing."""

    def __init__(self, resolved: Resolved, folder: RunFolder, grid: Grid, sources: Sources) -> None:
        self._resolved, self._folder, self._grid, self._sources = resolved, folder, grid, sources
        self._began = time.time()
        self._speaks = grid.is_first
        if self._speaks:
            observe = resolved.recipe.observe
            self._log = MetricsLog(folder.path / "metrics.jsonl")
            self._sinks = open_sinks(folder.path, tensorboard=observe.tensorboard, wandb=observe.wandb)
            self._progress = Progress(total_steps=resolved.total_steps, total_tokens=self._total_tokens)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._speaks:
            self._progress.close()
            self._log.close()
            self._sinks.close()

    @property
    def _total_tokens(self) -> int:
        return sum(self._resolved.tokens(stage) for stage in self._resolved.recipe.stage)

    def start(self, resumed: TrainState | None) -> None:
        """A session begins, anew or from a checkpoint."""
        size, recipe = self._grid.size, self._resolved.recipe
        point = resumed.point if resumed else Point()
        total_steps = point.step + remaining_steps(self._resolved, point)
        nodes = recipe.data.sources
        self._write(
            rows.Start(
                run=self._folder.path.name,
                recipe_name=recipe.name,
                label=label(self._resolved),
                parameters=self._resolved.shape.parameters,
                world_size=size.world,
                grid=rows.Grid(tensor=size.tensor, pipeline=size.pipeline, context=size.context, data=size.data),
                device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu (gloo)",
                versions=versions(),
                sources={
                    name: rows.SourceInfo(domain=nodes[name].domain, tokens=source.total_tokens)
                    for name, source in self._sources.items()
                },
                total_steps=total_steps,
                total_tokens=self._total_tokens,
                time=time.time(),
            )
        )
        if resumed is not None:  # after the start row: a record that was lost begins again with a readable one
            self._write(rows.Resume(step=resumed.step, time=time.time()))
        where = f"step {resumed.step} ({resumed.tokens:,} tokens)" if resumed else "the base's weights"
        if resumed is None and self._resolved.base is None:
            where = "fresh random weights, as the recipe asks"
        self.note(f"{label(self._resolved)}: from {where}, on {size}, {total_steps} steps in all")

    def segment(self, segment: Segment) -> None:
        """From here on samples come in another mixture, length or number, or from other places."""
        if segment.step:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in segment.weights.items())
            self.note(
                f"from step {segment.step + 1} on: {segment.samples} samples of {segment.sequence} a step, of {shares}"
            )

    def step(
        self, *, step: int, tokens: int, stage: str, sums: LossSums, lr: float, grad_norm: float,
        seconds: float, data_seconds: float, read: dict[str, int],
    ) -> None:  # fmt: skip
        """One optimizer step is done; `read` is the positions taken from each source by it."""
        names = list(self._sources)
        losses = {name: loss for i, name in enumerate(names) if (loss := sums.of(i)) is not None}
        row = rows.Step(
            step=step, tokens=tokens, stage=stage, loss=sums.mean, lr=lr, grad_norm=grad_norm,
            tokens_per_second=sum(read.values()) / seconds, step_seconds=seconds, data_seconds=data_seconds,
            loss_by_source=losses, tokens_by_source=read, time=time.time(),
        )  # fmt: skip
        self._write(row)
        if self._speaks:
            self._progress.update(row)

    def heldout(self, step: int, tokens: int, losses: dict[str, rows.DomainLoss]) -> None:
        """The held-out losses were measured."""
        self._write(rows.Heldout(step=step, tokens=tokens, losses=losses, time=time.time()))
        listing = ", ".join(f"{domain} {row.loss:.4f}" for domain, row in losses.items())
        self.note(f"held-out loss at step {step}: {listing}")

    def checkpoint(self, step: int, tokens: int, seconds: float, path: str) -> None:
        """A checkpoint is complete."""
        self._write(rows.Checkpoint(step=step, tokens=tokens, seconds=seconds, path=path, time=time.time()))
        self.note(f"checkpoint {path} in {seconds:.1f} s")

    def end(self, step: int, tokens: int, reason: str) -> None:
        """The session ends in order."""
        now = time.time()
        self._write(rows.End(step=step, tokens=tokens, seconds=now - self._began, reason=reason, time=now))

    def note(self, text: str) -> None:
        """A line for whoever watches."""
        if self._speaks:
            self._progress.note(text)

    def _write(self, row: rows.Row) -> None:
        if self._speaks:
            self._log.write(row)
            self._sinks.write(row)
