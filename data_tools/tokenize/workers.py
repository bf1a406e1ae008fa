"""Shards made by one process or several; what they make does not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_tools.tokenize.engines.libraries import Engine, load_engine
from data_tools.tokenize.shards import OnProgress, ShardPlan, is_finished, write_shard
from megatron_heph.errors import HephError
from megatron_heph.formats.manifest import Manifest, ShardInfo, manifest_path

_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for all shards; it travels to the workers."""

    tokenizer: Path
    settings: Manifest      # without shards
    block_bytes: int


@dataclass(frozen=True, slots=True)
class Task:
    """One shard to make, and what an earlier run recorded of it."""

    plan: ShardPlan
    earlier: ShardInfo | None


@dataclass(slots=True)
class Progress:
    """Sums over all workers."""

    disk_bytes: int = 0      # of the inputs as they lie on the disk, read or found finished
    text_bytes: int = 0      # tokenized by this run
    tokens: int = 0          # written by this run


def make_shards(
    tasks: Sequence[Task], job: Job, engine: Engine, workers: int, report: Callable[[Progress], None]
) -> list[ShardInfo]:
    """Makes all shards, in the order of the tasks; `engine` serves where one process is enough.

    On an error no new shard is begun, those at work are finished, and the first error in the order of the
    shards is raised.
    """
    workers = min(workers, len(tasks))
    if workers > 1:
        return _in_processes(tasks, job, workers, report)
    progress = Progress()

    def add(disk_bytes: int, text_bytes: int, tokens: int) -> None:
        progress.disk_bytes += disk_bytes
        progress.text_bytes += text_bytes
        progress.tokens += tokens
        report(progress)

    return [_make_shard(task, job, engine, add) for task in tasks]


def _make_shard(task: Task, job: Job, engine: Engine, add: OnProgress) -> ShardInfo:
    if task.earlier is not None and is_finished(task.plan, task.earlier):
        add(sum(file.bytes for file in task.plan.inputs), 0, 0)
        # the same bytes, perhaps under a new name
        names = zip(task.earlier.inputs, task.plan.inputs, strict=True)
        return replace(task.earlier, inputs=tuple(replace(old, path=new.name) for old, new in names))
    info = write_shard(task.plan, engine, job.settings.field, add, job.block_bytes)
    # Until all shards are there, each has a manifest of its own: a source of one shard, which a later
    # run keeps.
    replace(job.settings, shards=(info,)).write(manifest_path(task.plan.prefix))
    return info


def _in_processes(
    tasks: Sequence[Task], job: Job, workers: int, report: Callable[[Progress], None]
) -> list[ShardInfo]:
    # spawn: a forked child inherits the threads' locks of the libraries that are loaded here
    context = multiprocessing.get_context("spawn")
    sums = context.Array("q", 3)
    with ProcessPoolExecutor(workers, context, _start_worker, (job, sums)) as pool:
        futures = [pool.submit(_work, task) for task in tasks]
        try:
            while True:
                done, waiting = wait(futures, _POLL_SECONDS, FIRST_EXCEPTION)
                report(Progress(*sums[:]))
                if not waiting or any(future.exception() for future in done):
                    break
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [_result(future) for future in _errors_first(futures)]


def _errors_first(futures: list[Future[ShardInfo]]) -> list[Future[ShardInfo]]:
    """The first future that failed alone, or all of them; a cancelled one comes after a failed one."""
    failed = [future for future in futures if not future.cancelled() and future.exception()]
    return failed[:1] or futures


def _result(future: Future[ShardInfo]) -> ShardInfo:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise HephError(
            "A worker was killed, most likely for want of memory. Finished shards are kept: run the same "
            "command again, with fewer --workers."
        ) from error


_worker: tuple[Job, Engine, Any] | None = None


def _start_worker(job: Job, sums: Any) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)      # the parent speaks for all
    threading.Thread(target=_end_with_parent, daemon=True).start()
    info = job.settings.tokenizer
    engine = load_engine(job.tokenizer, special_tokens=info.special_tokens, eod=info.eod_token)
    _worker = (job, engine, sums)


def _end_with_parent() -> None:
    """Ends this process with its parent, however that ended: a new run must not meet an old worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Task) -> ShardInfo:
    assert _worker is not None, "the pool starts every worker with _start_worker"
    job, engine, sums = _worker

    def add(*amounts: int) -> None:
        with sums.get_lock():
            for index, amount in enumerate(amounts):
                sums[index] += amount

    return _make_shard(task, job, engine, add)
