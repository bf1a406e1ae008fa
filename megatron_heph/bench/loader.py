"""What `heph bench loader` measures: the price of a batch from the page cache, and the rate of a cold file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from megatron_heph.bench.card import Card
from megatron_heph.bench.page_cache import read_whole
from megatron_heph.bench.paired import Spread, ratios
from megatron_heph.bench.programs import Found, Job, Programs, bench, own, peer
from megatron_heph.bench.row import Row
from megatron_heph.errors import InputError

METHOD = (
    "Ratios are medians, with the least and the largest, of runs in turn, each in a process of its own. CPU (user + "
    "system, all threads) is counted inside the process, from when it has read some batches. Ours hands over uint16 "
    "tokens and labels, a boolean mask and cu_seqlens; Megatron's DataLoader (num_workers=0) int64 tokens, labels and "
    "positions, and a float mask."
)
OURS, DOCUMENTS, WIDE = "ours", "ours, documents apart", "ours, widened"
PEER, PEER_DOCUMENTS, PEER_MASK = "Megatron, no mask", "Megatron, documents apart", "Megatron, default"
DIRECT, WHOLE, COLD = "cold, sequential, O_DIRECT", "cold, sequential, buffered", "cold, ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is read: a pair of uint16 tokens, larger than what a run of `batches` batches reads."""

    pair: Path
    work: Path                  # an existing folder for logs and Megatron's cache
    sequence: int = 4096
    samples: int = 4            # of a batch
    batches: int = 2000         # in a run; a hundredth of them where each is slow
    runs: int = 5
    rows: tuple[str, ...] = ()  # empty: all


def bench_loader(settings: Settings, say: Callable[[str], None] = lambda line: None) -> Card:
    """Runs the rows that were asked for; `say` gets a line for each run.

    Raises InputError for an unknown row or a pair that is missing or too short.
    """
    path = settings.pair.with_name(settings.pair.name + ".bin")
    if not path.is_file():
        raise InputError(f"There is no {path}: benchmarks/data/make_pair.py {settings.pair} --documents N makes it.")
    needed = 2 * settings.sequence * settings.samples * (settings.batches + 100)
    if path.stat().st_size < needed:
        raise InputError(
            f"{path} has {path.stat().st_size:,} bytes, and {settings.batches} batches take {needed:,}: make a larger "
            f"pair (benchmarks/data/make_pair.py --documents), or ask for fewer --batches."
        )
    about = {
        "pair": f"{read_whole(path):,} bytes of uint16 tokens",
        "batch": f"{settings.samples} samples of {settings.sequence} tokens",
    }
    programs = Programs(_jobs(settings), settings.work, {str(settings.pair): settings.pair.name}, say)
    card = bench("Loader: batches", METHOD, ROWS, settings.rows, settings.runs, programs, about)
    for job in (OURS, DOCUMENTS, WIDE):
        if job in programs.found:
            card.same[f"{job} = slices of the .bin"] = all(run["right"] == 1 for run in programs.found[job])
    return card


def _jobs(settings: Settings) -> dict[str, Job]:
    size = ("--sequence", settings.sequence, "--{}", settings.samples, "--batches", settings.batches)
    few = (*size[:-1], max(settings.batches // 100, 1))
    our = [str(part).format("samples") for part in size]
    theirs = [settings.pair, settings.work / "cache", *(str(part).format("batch") for part in size)]
    slow = [settings.pair, settings.work / "cache", *(str(part).format("batch") for part in few)]
    cold = ("--sequence", settings.sequence)
    return {
        OURS: own("read_batches", settings.pair, *our),
        DOCUMENTS: own("read_batches", settings.pair, *our, "--attention", "document"),
        WIDE: own("read_batches", settings.pair, *our, "--widen"),
        PEER: peer("megatron_loader.py", *theirs),
        PEER_DOCUMENTS: peer("megatron_loader.py", *theirs, "--documents"),
        PEER_MASK: peer("megatron_loader.py", *slow, "--mask"),
        DIRECT: own("cold_read", settings.pair, "direct", *cold),
        WHOLE: own("cold_read", settings.pair, "whole", *cold),
        COLD: own("cold_read", settings.pair, "samples", *cold),
    }


def _times_less(peer_job: str, job: str) -> Callable[[Found], Spread]:
    return lambda found: ratios(
        [run["cpu"] / run["batches"] for run in found[peer_job]], [run["cpu"] / run["batches"] for run in found[job]]
    )


def _rates(sequential: str) -> Callable[[Found], Spread]:
    return lambda found: ratios([run["rate"] for run in found[COLD]], [run["rate"] for run in found[sequential]])


def _of(job: str, key: str, scale: float) -> Callable[[Found], Spread]:
    return lambda found: Spread.of([run[key] * scale for run in found[job]])


def _price(job: str) -> Callable[[Found], Spread]:
    return lambda found: Spread.of([run["cpu"] / run["batches"] * 1e6 for run in found[job]])


def _against(peer_job: str, job: str, aim: float | None, text: str) -> Row:
    return Row(f"{text}: its CPU over ours", aim, False, (peer_job, job), _times_less(peer_job, job))


ROWS: dict[str, Row] = {
    "batch": _against(PEER, OURS, 5, "GPTDataset with create_attention_mask=False"),
    "batch-default": _against(PEER_MASK, OURS, 300, "GPTDataset as it is by default, with a mask"),
    "batch-price": Row("ours: CPU of a batch", None, True, (OURS,), _price(OURS), "us"),
    "batch-wide": _against(PEER, WIDE, None, "the first, ours widened to Megatron's dtypes by numpy"),
    "batch-documents": _against(
        PEER_DOCUMENTS, DOCUMENTS, None,
        "GPTDataset with reset_position_ids and eod_mask_loss, no mask (ours: cu_seqlens)",
    ),
    "cold": Row(
        "cold file: our rate of tokens, batches of 256 samples in random order, over the disk's: reads of 1 MiB, in "
        "order, past the page cache (O_DIRECT)",
        0.8, False, (DIRECT, COLD), _rates(DIRECT),
    ),
    "cold-buffered": Row(
        "the same over reads of 1 MiB in order through the page cache, with the kernel's readahead",
        None, False, (WHOLE, COLD), _rates(WHOLE),
    ),
    "cold-rate": Row("cold file: our rate", None, False, (COLD,), _of(COLD, "rate", 1e-6), "MB/s"),
    "cold-read": Row("cold file: bytes from the disk per byte of tokens", None, True, (COLD,), _of(COLD, "read", 1)),
}  # fmt: skip
