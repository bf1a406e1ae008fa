"""What `heph bench tokenize` does: inputs, runs in turn, comparison of the outputs, rows, card."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path

from megatron_heph.bench.card import Card, Measured
from megatron_heph.bench.machine import commit, machine, versions_under
from megatron_heph.bench.paired import NoiseError, Spread, in_turn
from megatron_heph.bench.tokenize_inputs import make_inputs
from megatron_heph.bench.tokenize_rows import ONCE, ROWS, needed_jobs
from megatron_heph.bench.tokenize_runs import Runs
from megatron_heph.bench.tokenize_tools import ROOT, Settings, tools
from megatron_heph.errors import InputError, nearest

_PACKAGES = (
    "numpy", "tokenizers", "transformers", "gigatoken", "tiktoken", "datatrove", "torch", "megatron-core", "triton",
)  # fmt: skip


def bench_tokenize(settings: Settings, say: Callable[[str], None] = lambda line: None) -> Card:
    """Runs the rows that were asked for; `say` gets a line for each run.

    Raises InputError for an unknown row or a corpus that is not there.  What cannot run here (a peer
    that is missing, or that fails) is a row without a figure and with the reason.
    """
    rows = settings.rows or tuple(ROWS)
    for name in rows:
        if name not in ROWS:
            raise InputError(f"--rows names {name!r}; {nearest(name, ROWS)}")
    if not settings.corpus.is_file():
        raise InputError(f"There is no corpus {settings.corpus}: benchmarks/tokenize/make_corpus.py makes one.")
    inputs = make_inputs(settings)
    jobs = needed_jobs(rows)
    needed = {job.partition(" @ ")[0] for job in jobs}
    found = {name: tool for name, tool in tools(settings).items() if name in needed}
    runs = Runs(settings, inputs, found, say)
    runs.warm_up()
    in_turn([job for job in jobs if job.partition(" @ ")[2] not in ONCE], settings.runs, runs.run)
    runs.compare()
    in_turn([job for job in jobs if job.partition(" @ ")[2] in ONCE], 1, runs.run)
    return _card(settings, runs, rows)


def _card(settings: Settings, runs: Runs, rows: tuple[str, ...]) -> Card:
    cpu = {job: [usage.cpu for usage in found] for job, found in runs.usages.items()}
    peak = {job: [float(usage.peak_memory) for usage in found] for job, found in runs.usages.items()}
    results = {}
    for name in rows:
        row = ROWS[name]
        lacking = [f"{job.partition(' @ ')[0]}: {runs.failed[job]}" for job in row.jobs if job in runs.failed]
        spread = None
        try:
            spread = None if lacking else row.figure(peak if name == "memory" else cpu, runs.inputs.sizes)
        except NoiseError as error:
            lacking = [str(error)]
        results[name] = row.result(spread, lacking)
    measured = {
        job: Measured(Spread.of(cpu[job]), Spread.of([usage.wall for usage in found]), int(max(peak[job])), len(found))
        for job, found in runs.usages.items()
    }
    return Card(
        title="Tokenizing: JSONL to .bin/.idx",
        method="Ratios are medians of paired runs, with the least and the largest. CPU is user + system time of a "
        "process and its descendants.",
        about={
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "commit": commit(ROOT), **machine(),
            **({"Megatron-LM": commit(settings.megatron_lm)} if settings.megatron_lm else {}),
        },
        versions=versions_under(settings.peer_python, _PACKAGES),
        corpus={**runs.inputs.describe(), "tokenizer": _describe_tokenizer(settings.tokenizer)},
        commands=runs.commands, rows=results, measured=measured, same=runs.same,
        same_means="the same bytes (.bin and .idx)",
    )  # fmt: skip


def _describe_tokenizer(path: Path) -> str:
    file = path / "tokenizer.json" if path.is_dir() else path
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{path.name}: {file.name} of {file.stat().st_size:,} bytes, SHA-256 {digest}"
