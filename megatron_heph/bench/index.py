"""What `heph bench index` measures: what stands between a start and the first batch, and finding a sample's bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from megatron_heph.bench.card import Card
from megatron_heph.bench.own_loader import sources_in
from megatron_heph.bench.paired import Spread, ratios
from megatron_heph.bench.programs import Found, Job, Programs, bench, own, peer
from megatron_heph.bench.row import Row
from megatron_heph.formats.manifest import manifest_path, read_manifest

METHOD = (
    "Figures are medians, with the least and the largest, of runs in turn, each in a process of its own, all files in "
    "the page cache. CPU (user + system), wall time and memory are counted inside the process, from the moment when "
    "its imports are done; memory is by how much the peak of its resident set exceeds what was resident then."
)
OURS, PEER = "ours, first batch", "Megatron, first sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is compared: sources with manifests for us, and plain pairs for Megatron (None: its rows have no figure)."""

    sources: Path
    peer: Path | None
    work: Path                  # an existing folder for logs and Megatron's cache
    sequence: int = 4096
    runs: int = 5
    rows: tuple[str, ...] = ()  # empty: all


def bench_index(settings: Settings, say: Callable[[str], None] = lambda line: None) -> Card:
    """Runs the rows that were asked for; `say` gets a line for each run.

    Raises InputError for an unknown row or a folder without sources.
    """
    manifests = [read_manifest(manifest_path(prefix)) for prefix in sources_in(settings.sources)]
    tokens, documents = sum(each.tokens for each in manifests), sum(each.documents for each in manifests)
    names = {str(settings.sources): settings.sources.name}
    about = {"ours reads": f"{tokens:,} tokens in {documents:,} documents, {len(manifests)} sources of "
             f"{sum(len(each.shards) for each in manifests):,} shards (links to one pair)"}  # fmt: skip
    if settings.peer:
        names[str(settings.peer)] = settings.peer.name
        sizes = [path.stat().st_size // 2 for path in settings.peer.glob("*.bin")]
        about["Megatron reads"] = f"{sum(sizes):,} tokens in {len(sizes)} pairs; its figures are scaled by tokens"
    programs = Programs(_jobs(settings), settings.work, names, say)
    return bench("Index: from start to first batch", METHOD, ROWS, settings.rows, settings.runs, programs, about)


def _jobs(settings: Settings) -> dict[str, Job]:
    if settings.peer is None:
        megatron = Job([], "no --peer")
    else:
        megatron = peer("megatron_index.py", settings.peer, settings.work / "cache", "--sequence", settings.sequence)
    return {
        OURS: own("first_batch", settings.sources, "--sequence", settings.sequence), PEER: megatron,
        "locate, 8 sources": own("locate", 8), "locate, 1000 sources": own("locate", 1000),
    }  # fmt: skip


def _of(job: str, key: str, scale: float) -> Callable[[Found], Spread]:
    return lambda found: Spread.of([run[key] * scale for run in found[job]])


def _scaled(key: str, scale: float) -> Callable[[Found], Spread]:
    """The peer's figure for as many tokens as ours reads, if it grows as they do (it grows somewhat faster)."""
    return lambda found: Spread.of([
        run[key] * scale * ours["tokens"] / run["tokens"]
        for run, ours in zip(found[PEER], found[OURS], strict=True)
    ])  # fmt: skip


def _times_less(found: Found) -> Spread:
    peers = [run["cpu"] / run["tokens"] for run in found[PEER]]
    return ratios(peers, [run["cpu"] / run["tokens"] for run in found[OURS]])


_BOTH = (OURS, PEER)
ROWS: dict[str, Row] = {
    "first-batch": Row("ours: wall time of the first batch", 100, True, (OURS,), _of(OURS, "wall", 1e3), "ms"),
    "first-batch-cpu": Row("ours: its CPU", None, True, (OURS,), _of(OURS, "cpu", 1e3), "ms"),
    "first-batch-memory": Row(
        "ours: its memory beyond the imports, on every rank", 100, True, (OURS,), _of(OURS, "memory", 1e-6), "MB"
    ),
    "megatron": Row("Megatron: CPU on rank 0, extrapolated", None, True, _BOTH, _scaled("cpu", 1), "s"),
    "megatron-memory": Row(
        "Megatron: memory of rank 0 beyond the imports, extrapolated", None, True, _BOTH, _scaled("memory", 1e-9), "GB"
    ),
    "megatron-cache": Row(
        "Megatron: files that it writes, extrapolated (ours: none)", None, True, _BOTH, _scaled("stored", 1e-9), "GB"
    ),
    "times-less": Row("Megatron's CPU, extrapolated, over ours", None, False, _BOTH, _times_less),
    "locate-8": Row(
        "ours: CPU from a sample's number (up to 10^12, far apart) to its place in its source's tokens, 8 sources",
        250, True, ("locate, 8 sources",), _of("locate, 8 sources", "ns", 1), "ns",
    ),
    "locate-1000": Row(
        "the same with 1,000 sources", 250, True, ("locate, 1000 sources",), _of("locate, 1000 sources", "ns", 1), "ns"
    ),
}  # fmt: skip
