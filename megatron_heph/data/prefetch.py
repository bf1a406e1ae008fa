"""Computes the next steps while the current one is at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from megatron_heph.data.batch import Batch
from megatron_heph.data.reading import Buffers

_T = TypeVar("_T")


class Prefetcher(Generic[_T]):
    """Iterates over make(first), ..., make(stop - 1) in order, `depth` of them computed ahead in a thread.

    An exception of make(step) is raised where the step's result would have come, and ends the iteration.  With
    depth 0 nothing is computed ahead, and there is no thread.

    Use it in a `with` statement: leaving it ends the thread, after the step that it is at.
    """

    def __init__(self, make: Callable[[int], _T], first: int, stop: int, depth: int = 2) -> None:
        assert depth >= 0, depth
        self._make, self._steps, self._depth = make, iter(range(first, stop)), depth
        self._pool = ThreadPoolExecutor(1, "prefetch") if depth else None
        self._ahead: deque[Future[_T]] = deque()
        self._begin(depth)

    def __iter__(self) -> Iterator[_T]:
        return self

    def __next__(self) -> _T:
        try:
            if self._pool is None:
                return self._make(next(self._steps))
            if not self._ahead:
                raise StopIteration
            found = self._ahead.popleft()
            self._begin(1)
            return found.result()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Prefetcher[_T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the thread and drops what it computed; what follows is the end of the iteration."""
        self._steps = iter(range(0))
        self._ahead.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _begin(self, steps: int) -> None:
        if self._pool is not None:
            for _, step in zip(range(steps), self._steps, strict=False):  # in this order no step is taken for nothing
                self._ahead.append(self._pool.submit(self._make, step))


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
