"""`heph tokenize`: documents to memory-mapped `.bin/.idx`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_heph.cli.live_line import LiveLine
from megatron_heph.errors import InputError

if TYPE_CHECKING:
    from data_tools.tokenize.workers import Progress
    from megatron_heph.formats.manifest import Manifest

EXAMPLE = "heph tokenize corpora/aws/agent --tokenizer bases/smollm2-135m-instruct -o data/api --workers 8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `heph tokenize`."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="file, folder or pattern of .jsonl, .jsonl.zst, .jsonl.gz, .parquet"
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        required=True,
        metavar="T",
        help="model folder, tokenizer.json, sentencepiece .model, .tiktoken or Tekken file",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="PREFIX", help="first part of the files' names"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="how many work side by side, with the same result (default: the cores this process may use)",
    )
    parser.add_argument(
        "--special-tokens",
        choices=("text", "parse", "parse+template"),
        default="text",
        help="what a literal special token in the text becomes: ordinary text (default), or the token; "
        "parse+template also puts the tokenizer's own bos and eos around each document",
    )
    parser.add_argument(
        "--eod", metavar="TOKEN", help="special token that ends a document (default: <|endoftext|>, else eos)"
    )
    parser.add_argument("--no-eod", action="store_true", help="put no token between documents")
    parser.add_argument("--domain", metavar="D", help="agent, code or text (default: what the documents say)")
    parser.add_argument(
        "--field", default="text", metavar="KEY", help="key of the text in plain JSON lines (default: text)"
    )
    parser.add_argument(
        "--shard-bytes",
        type=int,
        default=256 << 20,
        metavar="N",
        help="bytes of input in a shard, and what a kill loses at most (default: 256 MiB)",
    )
    parser.add_argument(
        "--max-bad-lines",
        type=int,
        default=0,
        metavar="N",
        help="set aside up to N lines that are no document, in PREFIX-*.quarantine.jsonl (default: 0)",
    )
    parser.add_argument(
        "--merge", action="store_true", help="make one Megatron pair of the shards: PREFIX.bin and PREFIX.idx"
    )
    parser.add_argument(
        "--pack",
        type=_lengths,
        default=(),
        metavar="L[,L...]",
        help="also count the windows that documents pack into at these sample lengths, as a run with window = 'pack' "
        "does at its start: PREFIX.pack-BLOCK-L",
    )
    parser.add_argument(
        "--block",
        type=int,
        metavar="N",
        help="tokens that are packed together: 64 times the data.block of that run (default: as a run of these "
        "lengths has it)",
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "native", "gigatoken", "tokenizers", "sentencepiece", "tiktoken"),
        default="auto",
        help="what encodes (default: the fastest that proves exact on this tokenizer and these inputs)",
    )
    parser.add_argument(
        "--scheme", metavar="S", help="pattern and special tokens of a bare .tiktoken file, such as llama3"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest's totals as JSON")


def run(args: argparse.Namespace) -> int:
    """Runs the pipeline and prints what it made."""
    from data_tools.tokenize.pipeline import Options, tokenize

    block = _packing_block(args.pack, args.block)
    options = Options(
        tokenizer=args.tokenizer, scheme=args.scheme, engine=args.engine, special_tokens=args.special_tokens,
        eod=args.eod, append_eod=not args.no_eod, domain=args.domain, field=args.field, workers=args.workers,
        shard_bytes=args.shard_bytes, max_bad_lines=args.max_bad_lines, merge=args.merge,
    )  # fmt: skip
    line = _ProgressLine()
    try:
        manifest = tokenize(args.inputs, args.output, options, line.progress, line.warn)
        packed = _count_windows(args.output, args.pack, block, line)
    finally:
        line.end()
    if args.json:
        print(json.dumps({**_summary(args.output, manifest, line), "packed": packed}))
    else:
        print(_table(args.output, manifest, line))
        for row in packed:
            print(f"{'packed':<14} {_packed_line(row)}")
    return 0


def _lengths(text: str) -> tuple[int, ...]:
    """`4096,8192`; argparse says so if it is none."""
    try:
        return tuple(int(length) for length in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}; sample lengths are numbers such as 4096,8192") from error


def _packing_block(lengths: tuple[int, ...], block: int | None) -> int:
    """The tokens of a block, checked before anything is done."""
    from megatron_heph.formats.pack_counts import check_packing
    from megatron_heph.recipe.resolve import default_block, packed_block

    if block is not None and not lengths:
        raise InputError(f"--block is {block}, and only --pack has blocks: give --pack 4096 too, or leave --block out.")
    block = packed_block(default_block(lengths)) if block is None else block
    for length in lengths:
        check_packing(block, length)
    return block


def _count_windows(
    prefix: Path, lengths: tuple[int, ...], block: int, line: _ProgressLine
) -> list[dict[str, int | str]]:
    """Makes the counts files of a source, and says what packing makes of it."""
    if not lengths:
        return []
    from megatron_heph.formats.indexed import TokenizedSource
    from megatron_heph.formats.pack_counts import counts_path, open_counts

    source = TokenizedSource.open(prefix)
    rows: list[dict[str, int | str]] = []
    for length in lengths:
        counts = open_counts(source, block, length, report=line.counting, warn=line.warn)
        path = counts_path(source, block, length)
        rows.append({"file": path.name, "block": block, "length": length, "windows": counts.total})
    return rows


def _packed_line(row: dict[str, int | str]) -> str:
    return f"{row['windows']:,} windows of {row['length']:,} in blocks of {row['block']:,} ({row['file']})"


class _ProgressLine(LiveLine):
    def __init__(self) -> None:
        super().__init__("tokenize")
        self._started = self.begin
        self.text_bytes = 0

    def progress(self, progress: Progress, total: int) -> None:
        """Shows tokens, rate and the time that is left."""
        self.text_bytes = progress.text_bytes
        if progress.disk_bytes == 0:
            self._started = time.monotonic()      # what comes before the first byte says nothing about the rest
        if not self.is_due():
            return
        done = progress.kept_bytes + progress.disk_bytes
        rate = progress.disk_bytes / max(time.monotonic() - self._started, 1e-3)
        left = _duration((total - done) / rate) + " left" if rate else "reading"
        share = done / total if total else 1.0
        self.show(f"{share:4.0%}  {self.megabytes_per_second():.1f} MB/s of text  {progress.tokens:,} tokens  {left}")

    def seconds(self) -> float:
        return time.monotonic() - self.begin

    def megabytes_per_second(self) -> float:
        return self.text_bytes / 1e6 / max(time.monotonic() - self._started, 1e-3)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _summary(prefix: Path, manifest: Manifest, line: _ProgressLine) -> dict[str, object]:
    return {
        "prefix": str(prefix), "shards": len(manifest.shards), "dtype": manifest.dtype, **manifest.totals(),
        "tokenizer": manifest.tokenizer.hash, "seconds": round(line.seconds(), 2),
    }  # fmt: skip


def _table(prefix: Path, manifest: Manifest, line: _ProgressLine) -> str:
    info = manifest.tokenizer
    speed = f"{line.megabytes_per_second():.1f} MB/s" if line.text_bytes else "all shards were there"
    per_token = manifest.utf8_bytes / max(manifest.tokens, 1)
    left_out = [f"{manifest.empty:,} empty ones"] * bool(manifest.empty)
    left_out += [f"{manifest.malformed:,} malformed lines"] * bool(manifest.malformed)
    ending = f"with {info.eod_token} ({info.eod_id})" if info.eod_token else "with nothing"
    rows = {
        "source": f"{prefix} ({len(manifest.shards)} shards, {manifest.dtype})",
        "documents": f"{manifest.documents:,}" + (f" (left out: {', '.join(left_out)})" if left_out else ""),
        "tokens": f"{manifest.tokens:,} ({manifest.masked_tokens:,} without loss)",
        "text": f"{manifest.utf8_bytes:,} bytes, {per_token:.2f} per token",
        "domain": manifest.domain or "not said (--domain)",
        "licenses": ", ".join(f"{name} {n:,}" for name, n in manifest.licenses.items()) or "not said",
        "tokenizer": f"{info.name}, hash {info.hash[:16]}, {info.vocab_size:,} tokens",
        "documents end": f"{ending}; special tokens in the text: {info.special_tokens}",
        "engine": f"{manifest.engine}, checked against the tokenizer's own",
        "time": f"{_duration(line.seconds())} ({speed})",
    }
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())
