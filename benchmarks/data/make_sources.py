"""Makes a corpus of many shards from one pair: each shard is a name that links to it.

    python benchmarks/data/make_sources.py bench-data/pair bench-data/trillion --sources 8 --shards 250
    python benchmarks/data/make_sources.py bench-data/twentieth bench-data/fifty-billion --sources 8 --plain

The first makes sources s0 ... s7 of 250 shards each with manifests, as `heph tokenize` names and describes
them: with a pair of 0.5 G tokens 1 T tokens in all.  --plain makes one plain pair of each source, without a manifest,
as Megatron reads them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import xxhash

from megatron_heph.errors import InputError
from megatron_heph.formats.manifest import InputPiece, Manifest, ShardInfo, TokenizerInfo, manifest_path
from megatron_heph.formats.shard import read_shard

_TEXT_BYTES = 4             # of a token, for the counts of text that the pair never had
_CHUNK = 1 << 24


def checksum(path: Path) -> str:
    """XXH3-128 of a file, in hex."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def link_pair(pair: Path, name: Path) -> None:
    """`name`.bin and .idx as relative links to the pair."""
    for suffix in (".bin", ".idx"):
        link = name.with_name(name.name + suffix)
        link.unlink(missing_ok=True)
        target = pair.with_name(pair.name + suffix).resolve()
        link.symlink_to(Path(*[".."] * len(link.parent.resolve().relative_to(target.parent).parts), target.name))


def shard_row(pair: Path) -> ShardInfo:
    """What a manifest says of the pair; its text is imagined, all else is as found."""
    shard = read_shard(pair)
    text = _TEXT_BYTES * shard.tokens
    return ShardInfo(
        name="", inputs=(InputPiece(path="", begin=0, end=text, file_bytes=text, xxh3="0" * 32),),
        documents=shard.documents, tokens=shard.tokens, masked_tokens=0, characters=text, utf8_bytes=text, empty=0,
        bin_bytes=shard.bin_bytes, bin_xxh3=checksum(shard.bin_path), idx_xxh3=checksum(shard.idx_path),
        licenses={"MIT": shard.documents},
    )  # fmt: skip


def write_source(pair: Path, prefix: Path, row: ShardInfo, shards: int, vocab: int) -> Manifest:
    """Links and manifest of one source."""
    rows = []
    for index in range(shards):
        name = f"{prefix.name}-{index:05d}"
        link_pair(pair, prefix.with_name(name))
        pieces = tuple(replace(piece, path=f"{name}.jsonl.zst") for piece in row.inputs)
        rows.append(replace(row, name=name, inputs=pieces))
    tokenizer = TokenizerInfo(
        hash="0" * 64, name="none", vocab_size=vocab, eod_id=0, eod_token="<eod>", special_tokens="text"
    )
    manifest = Manifest(
        tokenizer=tokenizer, domain="text", source=prefix.name, field="text", dtype="uint16", shards=tuple(rows)
    )
    manifest.write(manifest_path(prefix))
    return manifest


def main() -> int:
    """Writes links and manifests, and prints the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path, help="prefix of the pair; its folder is above the corpus's")
    parser.add_argument("out", type=Path, help="folder of the corpus")
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--shards", type=int, default=250, help="of each source")
    parser.add_argument("--vocab", type=int, default=50_000)
    parser.add_argument("--plain", action="store_true", help="one pair per source and no manifest")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    prefixes = [args.out / f"s{index}" for index in range(args.sources)]
    try:
        if args.plain:
            for prefix in prefixes:
                link_pair(args.pair, prefix)
            print(json.dumps({"folder": args.out.name, "sources": args.sources}))
            return 0
        row = shard_row(args.pair)
        made = [write_source(args.pair, prefix, row, args.shards, args.vocab) for prefix in prefixes]
    except InputError as error:
        print(f"make_sources.py: {error}", file=sys.stderr)
        return error.exit_code
    tokens, documents = sum(each.tokens for each in made), sum(each.documents for each in made)
    print(json.dumps({"folder": args.out.name, "sources": len(made), "tokens": tokens, "documents": documents}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
