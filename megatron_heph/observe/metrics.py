"""metrics.jsonl, the record of a run: an append-only log, and its reader.

Whatever else shows a run (TensorBoard, wandb, the report) is made from these rows.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from megatron_heph.errors import InputError
from megatron_heph.observe.rows import (
    Checkpoint,
    End,
    Heldout,
    Resume,
    Row,
    Start,
    Step,
    decode_row,
    encode_row,
)

FILE_NAME = "metrics.jsonl"
_OPENING = b'{"kind": "'  # how each row begins, so also each row that was cut short
_STEPPED = TypeVar("_STEPPED", Step, Heldout, Checkpoint)


class MetricsLog:
    """Appends rows to a metrics.jsonl; one process (rank 0) writes.

    Each row is handed to the kernel before `write` returns, so a killed process loses at most the row
    it was writing.  Such a cut last line gets its newline here, and `read_metrics` passes over it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        cut = _ends_without_newline(path)
        self._file = path.open("ab")
        if cut:
            self._file.write(b"\n")
            self._file.flush()

    def write(self, row: Row) -> None:
        """Appends one row; raises OSError if the file system takes no more."""
        self._file.write(encode_row(row))
        self._file.flush()

    def close(self) -> None:
        """Closes the file, its rows on the disk."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The rows of a run that count: in order of step, without those that a resume has superseded."""

    starts: tuple[Start, ...]
    steps: tuple[Step, ...]
    heldouts: tuple[Heldout, ...]
    checkpoints: tuple[Checkpoint, ...]
    resumes: tuple[Resume, ...]
    end: End | None  # None while the run goes on, and where it was killed
    last_time: float  # of the last row, seconds since the epoch
    cut_lines: int  # lines that a kill cut short; they are passed over

    @property
    def start(self) -> Start:
        """The latest start row: the grid and the versions that the run has now."""
        return self.starts[-1]

    @property
    def step(self) -> int:
        """The last step that counts; 0 before the first."""
        return self.steps[-1].step if self.steps else 0

    @property
    def tokens(self) -> int:
        """Tokens read up to the last step that counts."""
        return self.steps[-1].tokens if self.steps else 0

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains with a held-out loss, in the order of their first appearance."""
        return tuple(dict.fromkeys(domain for row in self.heldouts for domain in row.losses))

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have begun, in order."""
        return tuple(dict.fromkeys(row.stage for row in self.steps))

    def tokens_by_source(self) -> dict[str, int]:
        """Tokens read of each source: the sources of the start row first, then any other."""
        total = dict.fromkeys(self.start.sources, 0)
        for row in self.steps:
            for source, tokens in row.tokens_by_source.items():
                total[source] = total.get(source, 0) + tokens
        return total

    def domain_of(self, source: str) -> str:
        """The domain of a source, of the latest start row that names it (a run may drop one); else the empty string."""
        infos = (start.sources[source] for start in reversed(self.starts) if source in start.sources)
        return next((info.domain for info in infos), "")


def read_metrics(path: Path) -> Metrics:
    """Reads a metrics.jsonl, also of a run that is going on or was killed.

    Raises InputError if the file is missing or empty, is not a record of a run, or has a row that
    cannot be read; the message names the line.
    """
    rows, cut = _read_rows(path)
    if not rows or not isinstance(rows[0], Start):
        found = "has no rows yet" if not rows else f"begins with a row of kind {rows[0].kind!r}"
        raise InputError(
            f"{path} {found}; the record of a run begins with a row of kind 'start'. "
            f"Name the folder of a run that has begun to train."
        )
    return _collect(rows, cut)


def _collect(rows: list[Row], cut: int) -> Metrics:
    starts: list[Start] = []
    steps: dict[int, Step] = {}
    heldouts: dict[int, Heldout] = {}
    checkpoints: dict[int, Checkpoint] = {}
    resumes: list[Resume] = []
    end: End | None = None
    for row in rows:
        if isinstance(row, Step):
            steps[row.step] = row
        elif isinstance(row, Heldout):
            heldouts[row.step] = row
        elif isinstance(row, Checkpoint):
            checkpoints[row.step] = row
        elif isinstance(row, End):
            end = row
        elif isinstance(row, Start):
            starts.append(row)
            end = None
        else:
            resumes.append(row)
            end = None
            steps, heldouts, checkpoints = (_until(kept, row.step) for kept in (steps, heldouts, checkpoints))
    return Metrics(
        starts=tuple(starts), steps=_ordered(steps), heldouts=_ordered(heldouts),
        checkpoints=_ordered(checkpoints), resumes=tuple(resumes), end=end,
        last_time=rows[-1].time, cut_lines=cut,
    )  # fmt: skip


def _until(rows: dict[int, _STEPPED], step: int) -> dict[int, _STEPPED]:
    return {at: row for at, row in rows.items() if at <= step}


def _ordered(rows: dict[int, _STEPPED]) -> tuple[_STEPPED, ...]:
    return tuple(rows[step] for step in sorted(rows))


def _read_rows(path: Path) -> tuple[list[Row], int]:
    if not path.is_file():
        raise InputError(
            f"There is no {path}, so {path.parent} is not the folder of a run that has begun to train. "
            f"Name the run's folder: the one that holds {FILE_NAME}."
        )
    rows: list[Row] = []
    cut = 0
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            line = raw.strip(b"\0 \t\r\n")  # a machine that lost power may leave a tail of zero bytes
            if not line:
                continue
            try:
                table = json.loads(line)
            except ValueError as error:
                if not _OPENING.startswith(line[: len(_OPENING)]):
                    raise InputError(_not_a_row(path, number, line, str(error))) from error
                cut += 1
                continue
            try:
                row = decode_row(table)
            except KeyError as error:
                raise InputError(_not_a_row(path, number, line, f"it lacks the key {error}")) from error
            except (TypeError, ValueError) as error:
                raise InputError(_not_a_row(path, number, line, str(error))) from error
            if row is not None:
                rows.append(row)
    return rows, cut


def _not_a_row(path: Path, number: int, line: bytes, reason: str) -> str:
    return (
        f"{path}:{number}: the line is not a row of a run's record ({reason}); it begins with "
        f"{line[:60].decode('utf-8', 'replace')!r}. Name a run's own {FILE_NAME}, or remove the line."
    )


def _ends_without_newline(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
