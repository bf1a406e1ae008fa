"""From input files to a tokenized source: prepare, make shards, finish; resumable at every shard.

`tokenize` does all three.  Apart, they serve executors that bring their own workers: any number of
processes may `prepare` the same job and `make` some of its shards each, and one then calls `finish`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_tools.tokenize.checks import check_malformed, check_nothing_foreign, check_same_settings, only
from data_tools.tokenize.columns import Texts
from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.engines.load import tokenizer_info
from data_tools.tokenize.gate import choose_engine
from data_tools.tokenize.inputs import Input, find_inputs
from data_tools.tokenize.kept import is_older, looks_finished
from data_tools.tokenize.plan import ShardPlan, plan_shards
from data_tools.tokenize.reading import BLOCK_BYTES
from data_tools.tokenize.sample import sample_texts
from data_tools.tokenize.shards import Settings
from data_tools.tokenize.state import State
from data_tools.tokenize.workers import EngineChoice, Progress, Task, Work, make_shards
from megatron_heph._native import return_free_memory
from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.document import DOMAINS
from megatron_heph.formats.indexed import token_dtype
from megatron_heph.formats.manifest import Manifest, ShardInfo, TokenizerInfo
from megatron_heph.formats.tiktoken_schemes import Scheme

# Large enough that a terabyte is some thousand shards (each is two memory maps), small enough that a
# machine that stops loses minutes.
SHARD_BYTES = 256 << 20

Warn = Callable[[str], None]
Report = Callable[[Progress, int], None]
"""Called with the sums so far and the bytes of all inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to tokenize; `heph tokenize` has the same names."""

    tokenizer: Path
    scheme: str | Scheme | None = None  # pattern and special tokens of a bare tiktoken file
    engine: str = "auto"
    special_tokens: str = "text"
    eod: str | None = None
    append_eod: bool = True
    vocab_size: int | None = None       # decides the dtype; None: the tokenizer's
    domain: str | None = None
    field: str = "text"
    workers: int | None = None          # None: one for each core that this process may use
    shard_bytes: int = SHARD_BYTES      # of the inputs as they lie on the disk
    max_bad_lines: int = 0
    merge: bool = False
    block_bytes: int = BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class Job:
    """Shards to make; every process that prepares it from the same inputs and options gets the same."""

    options: Options
    work: Work
    engine: Engine
    tasks: tuple[Task, ...]


def _check_options(options: Options, prefix: Path) -> None:
    for name, value, least in (
        ("--workers", options.workers, 1),
        ("--shard-bytes", options.shard_bytes, 1),
        ("--max-bad-lines", options.max_bad_lines, 0),
        ("--vocab-size", options.vocab_size, 1),
    ):
        if value is not None and value < least:
            raise InputError(f"{name} is {value}; it is {least} or more.")
    if options.domain is not None and options.domain not in DOMAINS:
        raise InputError(f"--domain is {options.domain!r}; {nearest(options.domain, DOMAINS)}")
    if not prefix.name or prefix.is_dir():
        raise InputError(
            f"-o is the folder {prefix}, but it is a prefix: the first part of the files' names, such as "
            f"{prefix / 'api'}."
        )


def tokenize(
    arguments: Sequence[str],
    prefix: Path,
    options: Options,
    report: Report = lambda progress, total: None,
    warn: Warn = lambda line: None,
) -> Manifest:
    """Tokenizes files, folders and patterns into `<prefix>-NNNNN.bin/.idx` and `<prefix>.manifest.json`.

    Shards that an earlier run finished with the same settings and the same inputs are kept.  The manifest
    is written last.  `warn` is told what a person should know of the engine.

    Raises InputError for what the user can mend, RefusedError if the tokenizer's engine is not exact.
    """
    _check_options(options, prefix)
    try:
        with State(prefix).locked():
            job = prepare(arguments, prefix, options, warn)
            make(job, range(len(job.tasks)), report)
            return finish(job)
    except OSError as error:
        raise InputError(
            f"{error.filename or prefix}: {error.strerror or error}. Finished shards are kept: make room or mend the "
            f"folder, and run the same command again."
        ) from error


def prepare(arguments: Sequence[str], prefix: Path, options: Options, warn: Warn = lambda line: None) -> Job:
    """Loads the tokenizer, proves its engine, and writes down which bytes become which shard.

    Does nothing to shards that are there.  Raises as `tokenize` does.
    """
    _check_options(options, prefix)
    inputs = find_inputs(arguments)
    choice = EngineChoice(
        tokenizer=options.tokenizer, scheme=options.scheme, special_tokens=options.special_tokens,
        eod=options.eod, engine=options.engine,
    )  # fmt: skip
    fresh = plan_shards(prefix.name, inputs, options.shard_bytes)
    engine, info = _prove(choice, sample_texts(fresh, options.field), warn)
    return_free_memory()
    if not options.append_eod:
        info = replace(info, eod_id=None, eod_token="")
    vocab_size = options.vocab_size or engine.vocab_size
    manifest = Manifest(
        tokenizer=info, domain="", source="", field=options.field, dtype=token_dtype(vocab_size).name, shards=(),
        engine=f"{engine.name} {engine.version}",
    )  # fmt: skip
    settings = Settings(
        field=options.field, vocab_size=vocab_size, eod_id=info.eod_id,
        max_bad_lines=options.max_bad_lines, block_bytes=options.block_bytes,
    )  # fmt: skip
    work = Work(prefix, replace(choice, engine=engine.name), settings, manifest)
    return Job(options, work, engine, tuple(_write_plan(prefix, inputs, options.shard_bytes, manifest)))


def _prove(choice: EngineChoice, sample: Texts, warn: Warn) -> tuple[Engine, TokenizerInfo]:
    """The engine that passed the gate; what else was loaded for that goes."""
    loaded = choice.load()
    engine, gate = choose_engine(loaded, sample)
    for line in gate.warnings:
        warn(line)
    engine.rest()
    return engine, tokenizer_info(loaded)


def _write_plan(prefix: Path, inputs: Sequence[Input], shard_bytes: int, manifest: Manifest) -> list[Task]:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    state = State(prefix)
    with state.planning():
        recorded, finished, settings = state.recorded()
        # A plan of which nothing is done yet binds nobody.
        plans = plan_shards(prefix.name, inputs, shard_bytes, recorded if finished else ())
        if settings is not None:
            check_same_settings(prefix, settings, manifest)
        elif not recorded:
            check_nothing_foreign(prefix, plans)
        touched = [plan.name for plan in plans if plan.name in finished and not _is_kept(plan, finished, prefix)]
        state.begin(plans, manifest, touched)
    return [Task(plan, finished.get(plan.name)) for plan in plans]


def make(job: Job, indices: Iterable[int], report: Report = lambda progress, total: None) -> None:
    """Makes some of the shards of a job (or finds them finished), with the workers of its options."""
    tasks = [job.tasks[index] for index in indices]
    total = sum(task.plan.bytes for task in tasks)
    workers = job.options.workers or len(os.sched_getaffinity(0))
    make_shards(tasks, job.work, job.engine, workers, lambda progress: report(progress, total))


def finish(job: Job) -> Manifest:
    """Writes the manifest, when all shards of the job are there; merges them where that is asked for.

    Raises InputError that names the shards that are missing, and if documents of several domains or more
    malformed lines were found than allowed.
    """
    state = State(job.work.prefix)
    _, finished, _ = state.recorded()
    missing = [task.plan.name for task in job.tasks if task.plan.name not in finished]
    if missing:
        raise InputError(
            f"{job.work.prefix} is not finished: {len(missing)} of {len(job.tasks)} shards are not there "
            f"({', '.join(missing[:3])}). Run the same command again."
        )
    shards = [finished[task.plan.name] for task in job.tasks]
    check_malformed(shards, job.options.max_bad_lines)
    prefix = job.work.prefix
    manifest = replace(
        job.work.manifest, shards=tuple(shards),
        domain=job.options.domain or only("domain", (shard.domains for shard in shards)) or "",
        source=only("source", (shard.sources for shard in shards), several=prefix.name) or prefix.name,
    )  # fmt: skip
    if job.options.merge and [shard.name for shard in shards] != [prefix.name]:
        from data_tools.tokenize.merge import merge_source

        manifest = merge_source(prefix, manifest, state.folder / "merging")
    state.finish(manifest)
    return manifest


def _is_kept(plan: ShardPlan, finished: dict[str, ShardInfo], prefix: Path) -> bool:
    return looks_finished(plan, finished[plan.name], prefix.parent) and is_older(plan, prefix.parent)
