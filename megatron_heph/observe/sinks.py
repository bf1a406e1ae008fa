"""Where a run's rows are also shown: TensorBoard event files and wandb.

metrics.jsonl is the record; a sink is a convenience, so a sink that fails says so once and training goes on.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

from megatron_heph.errors import InputError, nearest
from megatron_heph.observe.rows import Checkpoint, End, Heldout, Resume, Row, Start, Step

WandbMode = Literal["offline", "online", "disabled"]
_LOG = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes the rows of a run, in the order in which they are written to metrics.jsonl."""

    def write(self, row: Row) -> None:
        """Takes one row."""

    def close(self) -> None:
        """Writes out what is held back."""


def scalars(row: Row) -> dict[str, float]:
    """The row as named curves; x is the row's step.

    Names: loss/train, loss/train/<source>, heldout/<domain>, optim/lr, optim/grad_norm, data/tokens,
    speed/tokens_per_second, speed/step_seconds, speed/data_wait (a share, 0 to 1), checkpoint/seconds.
    """
    if isinstance(row, Step):
        wait = row.data_seconds / row.step_seconds if row.step_seconds > 0 else 0.0
        return {
            "loss/train": row.loss,
            **{f"loss/train/{source}": loss for source, loss in row.loss_by_source.items()},
            "optim/lr": row.lr,
            "optim/grad_norm": row.grad_norm,
            "data/tokens": float(row.tokens),
            "speed/tokens_per_second": row.tokens_per_second,
            "speed/step_seconds": row.step_seconds,
            "speed/data_wait": wait,
        }
    if isinstance(row, Heldout):
        return {f"heldout/{domain}": held.loss for domain, held in row.losses.items()}
    if isinstance(row, Checkpoint):
        return {"checkpoint/seconds": row.seconds}
    return {}


class TensorBoardSink:
    """Event files in `folder`, with the times of the rows; needs the package tensorboard."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._make = folder, SummaryWriter
        self._writer: Any = None

    def write(self, row: Row) -> None:
        """Adds the row's curves; a resume makes TensorBoard drop the points beyond its step."""
        if isinstance(row, Resume):
            self.close()
            self._writer = self._make(log_dir=str(self._folder), purge_step=row.step + 1)
        elif self._writer is None:
            self._writer = self._make(log_dir=str(self._folder))
        if isinstance(row, Step | Heldout | Checkpoint):
            for name, value in scalars(row).items():
                self._writer.add_scalar(name, value, row.step, walltime=row.time)

    def close(self) -> None:
        """Writes out what is held back."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class WandbSink:
    """A wandb run in `folder`; needs the package wandb.

    `offline` writes `folder/wandb/offline-run-*` and makes no network call; `wandb sync` uploads it
    later.  The run's id is kept in `folder/wandb/run-id`, so a resumed run goes on as the same run.
    """

    def __init__(self, folder: Path, mode: WandbMode = "offline") -> None:
        self._folder, self._mode = folder, mode
        self._run: Any = None
        if mode == "disabled":
            return
        if mode == "offline":
            # Else a crash of wandb itself is sent out.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise InputError(
                f"observe.wandb is {mode!r}, but the package wandb is not installed ({error}): "
                f"pip install 'megatron-heph[wandb]', or set observe.wandb = \"disabled\"."
            ) from error
        self._wandb = wandb

    def write(self, row: Row) -> None:
        """Logs the row's curves; the first row must be the Start."""
        if self._mode == "disabled":
            return
        if isinstance(row, Start):
            self._begin(row)
        elif isinstance(row, Step | Heldout | Checkpoint):
            # wandb's own step only grows; "step" as a value may go back after a resume.
            self._run.log({**scalars(row), "step": row.step})
        elif isinstance(row, End):
            self._run.summary["reason"] = row.reason

    def close(self) -> None:
        """Ends the wandb run; waits for the upload where it is online."""
        if self._run is not None:
            self._run.finish()
            self._run = None

    def _begin(self, row: Start) -> None:
        self.close()
        kept = self._folder / "wandb" / "run-id"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.is_file():
            kept.write_text(secrets.token_hex(4) + "\n", encoding="ascii")
        self._run = self._wandb.init(
            project="megatron_heph",
            name=row.run,
            id=kept.read_text(encoding="ascii").strip(),
            dir=str(self._folder),
            mode=self._mode,
            resume="allow" if self._mode == "online" else None,
            config=_config(row),
            settings=self._wandb.Settings(
                console="off", disable_git=True, disable_code=True, init_timeout=30, silent=True,
            ),
        )  # fmt: skip
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")


class Sinks:
    """Several sinks as one.  A sink that raises is named in a warning, once, and left out from then on."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)

    def write(self, row: Row) -> None:
        """Gives the row to each sink; never raises."""
        for sink in tuple(self._sinks):
            try:
                sink.write(row)
            except Exception as error:
                self._drop(sink, error)

    def close(self) -> None:
        """Closes each sink; never raises."""
        for sink in tuple(self._sinks):
            try:
                sink.close()
            except Exception as error:
                self._drop(sink, error)
        self._sinks.clear()

    def _drop(self, sink: Sink, error: Exception) -> None:
        self._sinks.remove(sink)
        _LOG.warning(
            "%s failed (%s: %s) and is left out from here on; training and metrics.jsonl go on.",
            type(sink).__name__, type(error).__name__, error,
        )  # fmt: skip


def open_sinks(run: Path, *, tensorboard: bool = True, wandb: str = "disabled") -> Sinks:
    """The sinks of the run folder `run`: TensorBoard in `run/tensorboard`, wandb in `run/wandb`.

    Raises InputError if `wandb` is no mode of it, or is asked for and not installed.  Where tensorboard
    is not installed, a warning says so.
    """
    sinks: list[Sink] = []
    if tensorboard:
        try:
            sinks.append(TensorBoardSink(run / "tensorboard"))
        except ImportError as error:
            _LOG.warning(
                "No TensorBoard files are written, since the package is not installed (%s): "
                "pip install 'megatron-heph[report]'.", error,
            )  # fmt: skip
    if wandb not in get_args(WandbMode):
        hint = nearest(wandb, get_args(WandbMode))
        raise InputError(f"observe.wandb is {wandb!r}, which is no mode of it; {hint}")
    if wandb != "disabled":
        sinks.append(WandbSink(run, cast(WandbMode, wandb)))
    return Sinks(sinks)


def _config(row: Start) -> dict[str, Any]:
    return {
        "base": row.label,
        "recipe": row.recipe_name,
        "parameters": row.parameters,
        "world_size": row.world_size,
        "grid": dataclasses.asdict(row.grid),
        "device": row.device,
        "versions": row.versions,
    }
