"""From input files to a tokenized source: plan, shards, manifest; resumable at every shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from data_tools.tokenize.engines.libraries import load_engine, tokenizer_info
from data_tools.tokenize.gate import check_engine
from data_tools.tokenize.inputs import BLOCK_BYTES, Input, find_inputs, read_blocks
from data_tools.tokenize.records import parse_record
from data_tools.tokenize.shards import ShardPlan, plan_shards, shard_prefix
from data_tools.tokenize.workers import Job, Progress, Task, make_shards
from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.document import DOMAINS
from megatron_heph.formats.indexed import token_dtype
from megatron_heph.formats.manifest import Manifest, ShardInfo, manifest_path, read_manifest

# Large enough that a terabyte is some thousand shards (each is two memory maps), small enough that a
# machine that stops loses minutes.
SHARD_BYTES = 256 << 20
_SAMPLE = 32      # documents of the input that the gate sees


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to tokenize; `heph tokenize` has the same names."""

    tokenizer: Path
    special_tokens: str = "text"
    eod: str | None = None
    domain: str | None = None
    field: str = "text"
    workers: int = 1
    shard_bytes: int = SHARD_BYTES      # of the inputs as they lie on the disk
    block_bytes: int = BLOCK_BYTES


def tokenize(
    arguments: Sequence[str],
    prefix: Path,
    options: Options,
    report: Callable[[Progress, int], None] = lambda progress, total: None,
) -> Manifest:
    """Tokenizes files, folders and patterns into `<prefix>-NNNNN.bin/.idx` and `<prefix>.manifest.json`.

    Shards that an earlier run finished with the same settings and the same inputs are kept.  The manifest
    is written last.  `report` is called with the sums so far and the bytes of all inputs.

    Raises InputError for what the user can mend, RefusedError if the tokenizer's engine is not exact.
    """
    _check_options(options, prefix)
    inputs = find_inputs(arguments)
    engine = load_engine(options.tokenizer, special_tokens=options.special_tokens, eod=options.eod)
    check_engine(engine, options.special_tokens, _sample(inputs, options))
    settings = Manifest(
        tokenizer=tokenizer_info(engine, options.tokenizer, options.special_tokens),
        domain="", source="", field=options.field, dtype=token_dtype(engine.vocab_size).name, shards=(),
    )  # fmt: skip
    plans = plan_shards(prefix, inputs, options.shard_bytes)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    earlier = _unfold(prefix, settings, plans)
    tasks = [Task(plan, earlier.get(plan.prefix.name)) for plan in plans]
    total = sum(file.bytes for file in inputs)
    job = Job(options.tokenizer, settings, options.block_bytes)
    shards = make_shards(tasks, job, engine, options.workers, lambda progress: report(progress, total))
    manifest = replace(
        settings, shards=tuple(shards),
        domain=options.domain or _only("domain", (shard.domains for shard in shards)) or "",
        source=_only("source", (shard.sources for shard in shards), several=prefix.name) or prefix.name,
    )  # fmt: skip
    manifest.write(manifest_path(prefix))
    _remove_shard_manifests(prefix, len(shards))
    return manifest


def _check_options(options: Options, prefix: Path) -> None:
    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}; it is 1 or more, and at best the number of cores.")
    if options.shard_bytes < 1:
        raise InputError(f"--shard-bytes is {options.shard_bytes}; it is 1 or more (default {SHARD_BYTES}).")
    if options.domain is not None and options.domain not in DOMAINS:
        raise InputError(f"--domain is {options.domain!r}; {nearest(options.domain, DOMAINS)}")
    if not prefix.name or prefix.is_dir():
        raise InputError(
            f"-o is the folder {prefix}, but it is a prefix: the first part of the files' names, such as "
            f"{prefix / 'api'}."
        )


def _sample(inputs: Sequence[Input], options: Options) -> Iterable[str]:
    """Texts from the beginning of the first input."""
    for block in read_blocks(inputs[0].path, block_bytes=1 << 18):
        for number, line in islice(block.lines(), _SAMPLE):
            yield parse_record(line, options.field, f"{inputs[0].path}:{number}").text
        return


def _unfold(prefix: Path, settings: Manifest, plans: Sequence[ShardPlan]) -> dict[str, ShardInfo]:
    """What earlier runs finished, by shard name.

    A manifest that covers several shards is taken apart into one per shard before any of them is
    touched: at no time does a manifest describe files that are no longer so.
    """
    whole, single = manifest_path(prefix), f"{prefix.name}-[0-9][0-9][0-9][0-9][0-9].manifest.json"
    paths = [whole] if whole.is_file() else sorted(prefix.parent.glob(single))
    found = {}
    for path in paths:
        manifest = read_manifest(path)
        _check_same_settings(path, manifest, settings)
        found.update({info.name: info for info in manifest.shards})
    _check_same_inputs(prefix, found, plans)
    if whole.is_file():
        for info in manifest.shards:
            replace(manifest, shards=(info,)).write(manifest_path(prefix.with_name(info.name)))
        whole.unlink()
    return found


def _check_same_inputs(prefix: Path, found: dict[str, ShardInfo], plans: Sequence[ShardPlan]) -> None:
    """Files may be added at the end, or have changed; others must not take the place of what is there."""
    planned = {plan.prefix.name: [file.path.name for file in plan.inputs] for plan in plans}
    for name, info in found.items():
        old, new = [Path(file.path).name for file in info.inputs], planned.get(name, [])
        if new[: len(old)] != old:
            raise InputError(
                f"{prefix} holds {name} of {', '.join(old)}, and now it would be of "
                f"{', '.join(new) or 'nothing'}. It is not overwritten: give another -o, name the same "
                f"inputs first and add new ones at the end, or remove {prefix}-* and "
                f"{manifest_path(prefix).name} first."
            )


def _check_same_settings(path: Path, manifest: Manifest, settings: Manifest) -> None:
    for name, found, asked in (
        ("tokenizer hash", manifest.tokenizer.hash, settings.tokenizer.hash),
        ("special-token policy", manifest.tokenizer.special_tokens, settings.tokenizer.special_tokens),
        ("end-of-document token", manifest.tokenizer.eod_token, settings.tokenizer.eod_token),
        ("--field", manifest.field, settings.field),
    ):
        if found != asked:
            raise InputError(
                f"{path} describes shards that were made with another {name}: {found!r}, and now it is "
                f"{asked!r}. They are not overwritten: give another -o, or remove "
                f"{path.parent / path.name.split('.')[0]}* first."
            )


def _only(what: str, counts: Iterable[dict[str, int]], several: str | None = None) -> str | None:
    """The one name that all documents have, None if they have none."""
    names = sorted({name for count in counts for name in count})
    if len(names) > 1 and several is None:
        raise InputError(
            f"The documents are of several {what}s: {', '.join(names)}. A source has one: tokenize them "
            f"apart, or name it with --{what} (all shards are finished and kept: the same command will be "
            f"quick)."
        )
    return several if len(names) > 1 else next(iter(names), None)


def _remove_shard_manifests(prefix: Path, count: int) -> None:
    for index in range(count):
        manifest_path(shard_prefix(prefix, index)).unlink(missing_ok=True)
