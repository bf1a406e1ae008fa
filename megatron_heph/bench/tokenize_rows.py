"""The rows of the tokenizing benchmark: which figure, of which runs, against which aim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from megatron_heph.bench.paired import Spread, ratios, without
from megatron_heph.bench.row import Row

# A job is "tool @ input".  Inputs: `ten` documents (what a start costs), `prefix` (20 MB: for peers that
# are slow), `full` (the corpus), `hundred` (100 MB) and `repeated` (the corpus again and again, as files).
Cpu = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the inputs as they lie on the disk, and of the texts in `full`."""

    prefix: int
    full: int
    full_text: int


def _marginal(cpu: Cpu, tool: str, source: str) -> list[float]:
    return without(cpu[f"{tool} @ {source}"], cpu[f"{tool} @ ten"])


def _share_of_peer(tool: str) -> Callable[[Cpu, Sizes], Spread]:
    return lambda cpu, sizes: ratios(_marginal(cpu, "ours", "full"), _marginal(cpu, tool, "full"))


def _times_less(tool: str) -> Callable[[Cpu, Sizes], Spread]:
    """The peer's cost per byte on the prefix over ours on the whole: what a slow peer would cost there."""

    def figure(cpu: Cpu, sizes: Sizes) -> Spread:
        peer = [seconds / sizes.prefix for seconds in _marginal(cpu, tool, "prefix")]
        return ratios(peer, [seconds / sizes.full for seconds in _marginal(cpu, "ours", "full")])

    return figure


def _times_less_on_prefix(tool: str) -> Callable[[Cpu, Sizes], Spread]:
    return lambda cpu, sizes: ratios(_marginal(cpu, tool, "prefix"), _marginal(cpu, "ours", "prefix"))


def _times_less_whole(tool: str) -> Callable[[Cpu, Sizes], Spread]:
    return lambda cpu, sizes: ratios(cpu[f"{tool} @ prefix"], cpu["ours @ prefix"])


def _rate_of_raw(engine: str) -> Callable[[Cpu, Sizes], Spread]:
    """Both in bytes of text a second on the same texts, so that the ratio of rates is that of times."""
    return lambda cpu, sizes: ratios(cpu[f"raw {engine} @ full"], _marginal(cpu, "ours", "full"))


def _jobs(tool: str, source: str) -> tuple[str, ...]:
    return tuple(f"{name} @ {at}" for name in ("ours", tool) for at in ("ten", source))


def _slow_peer(tool: str, name: str, aim: float) -> dict[str, Row]:
    everywhere = (*_jobs(tool, "prefix"), "ours @ full")
    return {
        tool: Row(
            f"{name}: its CPU per MB on the prefix, over ours on the corpus; without start-up",
            aim, False, everywhere, _times_less(tool),
        ),
        f"{tool}-prefix": Row(
            f"{name}: both on the prefix, without start-up",
            None, False, _jobs(tool, "prefix"), _times_less_on_prefix(tool),
        ),
        f"{tool}-whole": Row(
            f"{name}: both on the prefix, whole process",
            None, False, _jobs(tool, "prefix"), _times_less_whole(tool),
        ),
    }  # fmt: skip


_FAST = "Megatron-LM preprocess_data_fast.py"
ROWS: dict[str, Row] = {
    "fast": Row(
        f"{_FAST}: our share of its CPU, without start-up",
        0.7, True, _jobs("fast", "full"), _share_of_peer("fast"),
    ),
    "fast-whole": Row(
        f"{_FAST}: our share of its CPU, whole process", 0.25, True, ("ours @ full", "fast @ full"),
        lambda cpu, sizes: ratios(cpu["ours @ full"], cpu["fast @ full"]),
    ),
    "fast-thread": Row(
        f"{_FAST} held to one thread (as shipped it takes all cores): our share of its CPU, without start-up",
        0.7, True, _jobs("fast, 1 thread", "full"), _share_of_peer("fast, 1 thread"),
    ),
    **_slow_peer("hf", "Megatron-LM preprocess_data.py, Hugging Face tokenizer", 60),
    **_slow_peer("datatrove", "datatrove MegatronDocumentTokenizer", 30),
    **_slow_peer("datatrove-ds", "datatrove DocumentTokenizer", 30),
    "raw-gigatoken": Row(
        "gigatoken's encode_batch in memory: our share of its rate, JSON and files and all",
        0.9, False, ("ours @ ten", "ours @ full", "raw gigatoken @ full"), _rate_of_raw("gigatoken"),
    ),
    "raw-native": Row(
        "our engine in memory: the command's share of its rate",
        0.9, False, ("ours @ ten", "ours @ full", "raw native @ full"), _rate_of_raw("native"),
    ),
    "workers": Row(
        "two workers: their CPU over that of one", 1.1, True, ("ours, 1 worker @ full", "ours, 2 workers @ full"),
        lambda cpu, sizes: ratios(cpu["ours, 2 workers @ full"], cpu["ours, 1 worker @ full"]),
    ),
    "memory": Row(
        "peak memory with repeated input over that with 100 MB", 1.1, True, ("ours @ hundred", "ours @ repeated"),
        lambda peak, sizes: ratios(peak["ours @ repeated"][:1], peak["ours @ hundred"][:1]),
    ),
}  # fmt: skip
ONCE = ("hundred", "repeated")  # inputs that are run once: memory does not vary as time does


def needed_jobs(rows: Sequence[str]) -> list[str]:
    """The jobs of some rows, each once; those of one input stand together, since they are compared."""
    found = dict.fromkeys(job for name in rows for job in ROWS[name].jobs)
    return sorted(found, key=lambda job: job.partition(" @ ")[2])
