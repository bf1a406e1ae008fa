"""Shards made by several workers: threads where the engine lets them run side by side, else processes.

What they make does not depend on how many there are: a worker owns whole shards, and no token id passes
from one to another.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.engines.load import Loaded, load_engine
from data_tools.tokenize.kept import has_same_inputs, is_older, looks_finished
from data_tools.tokenize.plan import ShardPlan
from data_tools.tokenize.shards import Settings, write_shard
from data_tools.tokenize.state import State
from megatron_heph.errors import HephError
from megatron_heph.formats.manifest import Manifest, ShardInfo
from megatron_heph.formats.tiktoken_schemes import Scheme

_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """What to load; see `load_engine`."""

    tokenizer: Path
    scheme: str | Scheme | None
    special_tokens: str
    eod: str | None
    engine: str

    def load(self) -> Loaded:
        """Loads the tokenizer."""
        return load_engine(
            self.tokenizer, special_tokens=self.special_tokens, eod=self.eod, engine=self.engine, scheme=self.scheme
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What is the same for all shards; it travels to worker processes."""

    prefix: Path
    engine: EngineChoice
    settings: Settings
    manifest: Manifest      # without shards


@dataclass(frozen=True, slots=True)
class Task:
    """One shard to make, and what an earlier run recorded of it."""

    plan: ShardPlan
    earlier: ShardInfo | None


@dataclass(slots=True)
class Progress:
    """Sums over all workers."""

    kept_bytes: int = 0      # of inputs whose shards an earlier run finished
    disk_bytes: int = 0      # of the inputs as they lie on the disk, read by this run
    text_bytes: int = 0      # tokenized by this run
    tokens: int = 0          # written by this run


Report = Callable[[Progress], None]


def make_shards(tasks: Sequence[Task], work: Work, engine: Engine, workers: int, report: Report) -> list[ShardInfo]:
    """Makes all shards, in the order of the tasks; `engine` serves all workers that are threads.

    On an error no new shard is begun, those at work are finished, and the first error in the order of the
    shards is raised.
    """
    workers = max(1, min(workers, len(tasks)))
    if workers > 1 and not engine.in_threads:
        return _in_processes(tasks, work, workers, report)
    progress, lock = Progress(), threading.Lock()

    def add(kept: int, read: int, text: int, tokens: int) -> None:
        with lock:
            progress.kept_bytes += kept
            progress.disk_bytes += read
            progress.text_bytes += text
            progress.tokens += tokens

    def make(task: Task) -> ShardInfo:
        return _make_shard(task, work, engine, add)

    with ThreadPoolExecutor(workers) as pool:
        return _wait(pool, [pool.submit(make, task) for task in tasks], lambda: report(progress))


def _make_shard(task: Task, work: Work, engine: Engine, add: Callable[[int, int, int, int], None]) -> ShardInfo:
    folder, state = work.prefix.parent, State(work.prefix)
    info = _kept(task, folder)
    if info is not None:
        add(task.plan.bytes, 0, 0, 0)
    else:
        state.forget_shard(task.plan.name)
        info = write_shard(
            task.plan, folder, engine, work.settings, lambda read, text, tokens: add(0, read, text, tokens)
        )
    state.finish_shard(info, work.manifest)
    return info


def _kept(task: Task, folder: Path) -> ShardInfo | None:
    """What is known of a shard that an earlier run made of the same bytes, perhaps under a new name."""
    if task.earlier is None or not looks_finished(task.plan, task.earlier, folder):
        return None
    if not is_older(task.plan, folder) and not has_same_inputs(task.plan, task.earlier):
        return None
    pairs = zip(task.earlier.inputs, task.plan.pieces, strict=True)
    return replace(task.earlier, inputs=tuple(replace(old, path=new.file.name) for old, new in pairs))


def _in_processes(tasks: Sequence[Task], work: Work, workers: int, report: Report) -> list[ShardInfo]:
    # spawn: a forked child inherits the threads' locks of the libraries that are loaded here
    context = multiprocessing.get_context("spawn")
    sums = context.Array("q", 4)
    with ProcessPoolExecutor(workers, context, _start_worker, (work, sums)) as pool:
        return _wait(pool, [pool.submit(_in_worker, task) for task in tasks], lambda: report(Progress(*sums[:])))


def _wait(pool: Executor, futures: list[Future[ShardInfo]], tell: Callable[[], None]) -> list[ShardInfo]:
    try:
        while True:
            done, waiting = wait(futures, _POLL_SECONDS, FIRST_EXCEPTION)
            tell()
            if not waiting or any(future.exception() for future in done):
                break
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    # the first that failed alone, or all of them; a cancelled one comes after a failed one
    failed = [future for future in futures if not future.cancelled() and future.exception()]
    return [_result(future) for future in failed[:1] or futures]


def _result(future: Future[ShardInfo]) -> ShardInfo:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise HephError(
            "A worker was killed, most likely for want of memory. Finished shards are kept: run the same "
            "command again, with fewer --workers."
        ) from error


_worker: tuple[Work, Engine, Any] | None = None


def _start_worker(work: Work, sums: Any) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)      # the parent speaks for all
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = (work, work.engine.load().engine, sums)


def _end_with_parent() -> None:
    """Ends this process with its parent, however that ended: a new run must not meet an old worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_worker(task: Task) -> ShardInfo:
    assert _worker is not None, "the pool starts every worker with _start_worker"
    work, engine, sums = _worker

    def add(*amounts: int) -> None:
        with sums.get_lock():
            for index, amount in enumerate(amounts):
                sums[index] += amount

    return _make_shard(task, work, engine, add)
