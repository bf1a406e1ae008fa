"""`heph inspect data`: what a tokenized source holds, whether its files are whole, and a document read back."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megatron_heph.errors import InputError

if TYPE_CHECKING:
    from megatron_heph.formats.indexed import TokenizedSource

EXAMPLE = "heph inspect data data/api --document 0 --tokenizer bases/smollm2-135m-instruct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `heph inspect data`."""
    parser.add_argument(
        "prefix", type=Path, metavar="PREFIX", help="a tokenized source, a Megatron pair, or a quoted pattern of pairs"
    )
    parser.add_argument("--document", type=int, metavar="N", help="show this document, counted from 0")
    parser.add_argument("--tokenizer", type=Path, metavar="T", help="decode the document with it")
    parser.add_argument(
        "--verify", action="store_true", help="read every byte: indices, masks, ids, checksums; exit code 2 for a fault"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints the table of a source, one document, or what is wrong with its files."""
    from megatron_heph.formats.indexed import TokenizedSource

    if args.verify:
        return _verify(args.prefix, args.json)
    source = TokenizedSource.open(args.prefix)
    row = _overview(source) if args.document is None else _document(source, args.document, args.tokenizer)
    if args.json:
        print(json.dumps(row, ensure_ascii=False))
    elif args.document is None:
        print(_overview_text(row))
    else:
        print(_document_text(row))
    return 0


def _verify(prefix: Path, as_json: bool) -> int:
    from megatron_heph.cli.live_line import LiveLine
    from megatron_heph.formats.verify import verify_source

    line = LiveLine("inspect")

    def show(done: int, total: int) -> None:
        rate = done / max(time.monotonic() - line.begin, 1e-3)
        left = int((total - done) / rate) if rate else 0
        clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
        line.show(f"{done / max(total, 1):4.0%}  {rate / 1e6:,.0f} MB/s  {clock} left")

    try:
        report = verify_source(prefix, show)
    finally:
        line.end()
    faults = [{"shard": name, "fault": fault} for name, fault in report.faults]
    if as_json:
        whole = {"prefix": str(prefix), "shards": report.shards, "bytes": report.bytes, "faults": faults}
        print(json.dumps(whole, ensure_ascii=False))
    else:
        for row in faults:
            print(f"{row['shard']}: {row['fault']}")
        good = f"{report.shards - len(faults):,} of {report.shards:,} shards are whole"
        print(f"{prefix}: {good}, {report.bytes:,} bytes read; {report.compared}")
    return InputError.exit_code if faults else 0


def _overview(source: TokenizedSource) -> dict[str, Any]:
    from megatron_heph.formats.mask import mask_path, read_mask
    from megatron_heph.formats.shard import longest_sequence

    manifest = source.manifest
    shards = [
        {
            "name": shard.prefix.name,
            "dtype": shard.dtype.name,
            "documents": shard.documents,
            "tokens": shard.tokens,
            "without_loss": int(read_mask(mask_path(shard.prefix), shard.tokens)[:, 1].sum()) if shard.has_mask else 0,
            "longest": longest_sequence(shard),
        }
        for shard in source.shards
    ]
    row: dict[str, Any] = {"prefix": str(source.prefix), "tokens": source.total_tokens, "shards": shards}
    if manifest is not None:
        info = manifest.tokenizer
        row["tokenizer"] = {
            "name": info.name, "hash": info.hash, "vocab_size": info.vocab_size,
            "eod_token": info.eod_token, "special_tokens": info.special_tokens,
        }  # fmt: skip
        row |= {"domain": manifest.domain, "source": manifest.source, "licenses": manifest.licenses}
    return row


def _overview_text(row: dict[str, Any]) -> str:
    columns = ("name", "dtype", "documents", "tokens", "without_loss", "longest")
    cells = [[_cell(shard[column]) for column in columns] for shard in row["shards"]]
    table = [["shard", "dtype", "documents", "tokens", "without loss", "longest"], *cells]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in table]
    lines.append(f"\n{row['tokens']:,} tokens in {len(cells)} shards")
    if "tokenizer" in row:
        info = row["tokenizer"]
        licenses = ", ".join(f"{name} {count:,}" for name, count in row["licenses"].items()) or "not said"
        lines += [
            f"tokenizer  {info['name']}, hash {info['hash'][:16]}, {info['vocab_size']:,} tokens",
            f"documents  end with {info['eod_token']}; special tokens in the text: {info['special_tokens']}",
            f"domain     {row['domain'] or 'not said'}; source {row['source']}; licenses {licenses}",
        ]
    else:
        lines.append("no manifest: a plain Megatron pair, whose tokenizer is not recorded")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _document(source: TokenizedSource, number: int, tokenizer: Path | None) -> dict[str, Any]:
    if not 0 <= number < source.total_documents:
        raise InputError(
            f"--document is {number}; {source.prefix} has the documents 0 to {source.total_documents - 1}."
        )
    shard, _, start, length = source.document(number)
    ids, loss = source.read(start, length), source.read_loss_mask(start, length)
    row = {"document": number, "shard": source.shards[shard].prefix.name, "position": start, "tokens": length}
    row |= {"with_loss": int(loss.sum()), "ids": ids.tolist()}
    return row | ({"text": _decode(source, ids.tolist(), tokenizer)} if tokenizer else {})


def _decode(source: TokenizedSource, ids: list[int], tokenizer: Path) -> str:
    from data_tools.tokenize.engines.load import load_engine
    from megatron_heph.formats.tokenizer import check_same_tokenizer, tokenizer_hash

    eod = None
    if source.manifest is not None:
        check_same_tokenizer(source.manifest, tokenizer_hash(tokenizer), prefix=source.prefix, base=tokenizer)
        eod = source.manifest.tokenizer.eod_token or None
    engine = load_engine(tokenizer, eod=eod).reference
    if max(ids, default=0) >= engine.vocab_size:
        raise InputError(
            f"The document holds the id {max(ids)}, and {tokenizer} has {engine.vocab_size} tokens: "
            f"give --tokenizer the one that made {source.prefix}."
        )
    return engine.decode(ids)


def _document_text(row: dict[str, Any]) -> str:
    head = (
        f"document {row['document']}: shard {row['shard']}, tokens {row['position']:,} to "
        f"{row['position'] + row['tokens']:,} ({row['tokens']:,}, {row['with_loss']:,} with loss)"
    )
    if "text" in row:
        return f"{head}\n\n{row['text']}"
    return f"{head}\n\n{' '.join(map(str, row['ids']))}\n\n(--tokenizer T shows its text)"
