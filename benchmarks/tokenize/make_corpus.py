"""Builds the corpus of the tokenizing benchmark: real code, API documentation, prose and translations.

    python benchmarks/tokenize/make_corpus.py OUT --bytes 400MB 100MB 20MB

The documents are files of packages that `corpus_packages.txt` pins (about 2 GB are fetched once), as
they are: nothing is made by a template.  Each is there once (by hash), and their order is that of their
hashes, so that the same packages give the same bytes.  Writes OUT/c400.jsonl and its first 100 and 20 MB
(whole lines) as c100.jsonl and c20.jsonl, and OUT/corpus.json with counts and hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from corpus_documents import LARGEST, SMALLEST, documents
from corpus_fetch import Pinned, fetch, members, pinned_packages

from megatron_heph.errors import InputError

# Of the bytes of lines: 45 % code, 25 % API documentation and JSON, 20 % prose, 10 % translations.
SHARES = {
    "python": 0.16, "c": 0.126, "javascript": 0.09, "rust": 0.06, "java": 0.014,
    "api": 0.14, "json": 0.11, "prose": 0.20, "multilingual": 0.10,
}  # fmt: skip
LARGEST_PACKAGE = 0.30  # of a part, so that no package is all of it
_FEW_PACKAGES = ("api", "java", "json")  # parts that have not enough packages for that
_SEED = b"tokenize-1"


@dataclass(frozen=True, slots=True)
class Line:
    """A document that may be chosen, as its line; `key` is its place in the order."""

    key: bytes
    package: str
    data: bytes


def collect(packages: Iterable[Pinned]) -> dict[str, list[Line]]:
    """All candidates by part, each text once, in the order of their keys."""
    seen: set[bytes] = set()
    found: dict[str, list[Line]] = defaultdict(list)
    for package in packages:
        before = len(seen)
        for path, content in members(fetch(package)):
            for document in documents(path, content):
                encoded = document.text.encode()
                key = hashlib.blake2b(encoded, digest_size=16, key=_SEED).digest()
                if not SMALLEST <= len(encoded) <= LARGEST or key in seen:
                    continue
                seen.add(key)
                row = {"id": f"{package}/{document.path}", "part": document.part, "text": document.text}
                line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
                found[document.part].append(Line(key, str(package), line))
        print(f"{package}: {len(seen) - before} documents", file=sys.stderr, flush=True)
    return {part: sorted(lines, key=lambda line: line.key) for part, lines in found.items()}


def choose(part: str, lines: list[Line], budget: int) -> list[Line]:
    """The first lines of a part that fit its budget, without letting one package be most of it."""
    limit = budget if part in _FEW_PACKAGES else int(budget * LARGEST_PACKAGE)
    of_package: Counter[str] = Counter()
    chosen, total = [], 0
    for line in lines:
        # A package or part that is full stays so: to go on with what still fits would favour short documents.
        of_package[line.package] += len(line.data)
        if of_package[line.package] > limit:
            continue
        total += len(line.data)
        if total > budget:
            break
        chosen.append(line)
    if total < 0.99 * budget:
        raise InputError(
            f"The packages hold {total / 1e6:.0f} MB of the part {part!r} and {budget / 1e6:.0f} MB are "
            f"wanted: ask for fewer --bytes, or add packages to corpus_packages.txt."
        )
    return chosen


def shuffled(key: bytes) -> bytes:
    """Another key that says nothing of the first one's order."""
    return hashlib.blake2b(key, digest_size=16, key=_SEED).digest()


def write_prefixes(folder: Path, lines: list[Line], sizes: list[int]) -> list[dict[str, object]]:
    """Writes the lines and their first so many bytes, and describes the files."""
    rows: list[dict[str, object]] = []
    for size in sizes:
        path = folder / f"c{size // 1_000_000}.jsonl"
        digest, total, count = hashlib.sha256(), 0, 0
        with path.open("wb") as stream:
            for line in lines:
                if total + len(line.data) > size:
                    break
                stream.write(line.data)
                digest.update(line.data)
                total, count = total + len(line.data), count + 1
        rows.append({"file": path.name, "bytes": total, "documents": count, "sha256": digest.hexdigest()})
    return rows


def _size(text: str) -> int:
    return int(float(text.upper().removesuffix("MB")) * 1_000_000)


def main() -> int:
    """Collects, chooses, writes, and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bytes", type=_size, nargs="+", default=[400_000_000], metavar="MB", help="e.g. 400MB 20MB")
    parser.add_argument("--packages", type=Path, default=Path(__file__).with_name("corpus_packages.txt"))
    args = parser.parse_args()
    sizes = sorted(args.bytes, reverse=True)
    try:
        found = collect(pinned_packages(args.packages))
        # One percent more than asked, so that the whole does not fall short of the size.
        budgets = {part: int(1.01 * share * sizes[0]) for part, share in SHARES.items()}
        parts = {part: choose(part, found.get(part, []), budget) for part, budget in budgets.items()}
    except InputError as error:
        print(f"make_corpus.py: {error}", file=sys.stderr)
        return error.exit_code
    # A second shuffle: in the first order large packages come early and then are full.
    lines = sorted((line for chosen in parts.values() for line in chosen), key=lambda line: shuffled(line.key))
    args.out.mkdir(parents=True, exist_ok=True)
    table = {
        part: {"documents": len(chosen), "bytes": sum(len(line.data) for line in chosen)}
        for part, chosen in parts.items()
    }
    described = {"parts": table, "files": write_prefixes(args.out, lines, sizes)}
    (args.out / "corpus.json").write_text(json.dumps(described, indent=2) + "\n")
    print(json.dumps(described, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
