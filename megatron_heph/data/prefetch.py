"""Computes the next steps while the current one is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from megatron_heph.data.batch import Batch
from megatron_heph.data.reading import Buffers

_T = TypeVar("_T")


class Prefetcher(Generic[_T]):
    """Iterates over make(first), ..., make(stop - 1) in order, some of them computed ahead in threads.

    At most `depth` results wait or are at work at a time; what that holds in memory is theirs.  An exception of
    make(step) is raised where the step's result would have come, and ends the iteration.  With depth 0 nothing is
    computed ahead, and there is no thread.

    Use it in a `with` statement: leaving it ends the threads, each after the step that it is at.
    """

    def __init__(self, make: Callable[[int], _T], first: int, stop: int, depth: int = 2, threads: int = 1) -> None:
        assert depth >= 0 and threads >= 1, (depth, threads)
        self._make, self._stop, self._depth = make, stop, depth
        self._taken = first             # the step that the next call returns
        self._begun = first             # the first step that no thread has begun
        self._done: dict[int, tuple[_T | None, BaseException | None]] = {}
        self._closed = False
        self._changed = threading.Condition()
        self.seconds_waited = 0.0       # by the caller, for results
        names = [f"prefetch-{i}" for i in range(min(threads, depth, max(stop - first, 0)))]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[_T]:
        return self

    def __next__(self) -> _T:
        if self._closed or self._taken >= self._stop:
            raise StopIteration
        begin = time.perf_counter()
        result, error = self._wait() if self._threads else self._run(self._taken)
        self.seconds_waited += time.perf_counter() - begin
        if error is not None:
            self.close()
            raise error
        with self._changed:
            self._taken += 1
            self._changed.notify_all()
        return result  # type: ignore[return-value]     # no error: it is a result

    def __enter__(self) -> Prefetcher[_T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads and drops what they computed; what follows is the end of the iteration."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._done.clear()

    def _wait(self) -> tuple[_T | None, BaseException | None]:
        with self._changed:
            self._changed.wait_for(lambda: self._taken in self._done)
            return self._done.pop(self._taken)

    def _work(self) -> None:
        while (step := self._next_step()) is not None:
            found = self._run(step)
            with self._changed:
                self._done[step] = found
                self._changed.notify_all()
            del found       # the caller may drop it before this thread has another

    def _next_step(self) -> int | None:
        def may_begin() -> bool:
            return self._closed or self._begun >= self._stop or self._begun < self._taken + self._depth

        with self._changed:
            self._changed.wait_for(may_begin)
            if self._closed or self._begun >= self._stop:
                return None
            self._begun += 1
            return self._begun - 1

    def _run(self, step: int) -> tuple[_T | None, BaseException | None]:
        try:
            return self._make(step), None
        except BaseException as error:
            return None, error


class BatchSource(Protocol):
    """A loader, as far as prefetching knows it."""

    def batch(self, step: int, rank: int = 0, ranks: int = 1, out: Buffers | None = None) -> Batch:
        """This rank's samples of a step."""

    def buffers(self, rank: int = 0, ranks: int = 1) -> Buffers:
        """Arrays that a step of this rank fits into."""


def prefetched(
    loader: BatchSource, steps: range, make: Callable[[Batch], _T], *, rank: int = 0, ranks: int = 1, depth: int = 2
) -> Prefetcher[_T]:
    """What `make` makes of the batches of these steps, `depth` of them read ahead.

    A batch's arrays are used again two steps after those that are read ahead with it: what is made of them is to be
    done with by the time that the next is asked for.
    """
    ring = [loader.buffers(rank, ranks) for _ in range(depth + 2)]
    return Prefetcher(
        lambda step: make(loader.batch(step, rank, ranks, ring[step % len(ring)])), steps.start, steps.stop, depth
    )
