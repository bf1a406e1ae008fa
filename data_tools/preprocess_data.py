"""Megatron-LM's tools/preprocess_data.py by its own flags: the same .bin and .idx, byte for byte, in less time.

    python -m data_tools.preprocess_data --input api.jsonl --output-prefix data/api --tokenizer-type \
        HuggingFaceTokenizer --tokenizer-model meta-llama-3 --append-eod --workers 8

What differs, on purpose: a document without tokens is left out and counted (theirs is an empty entry); a
value that is a list of sentences is refused; documents stay in the order of the input whatever
`--partitions` says; there is a manifest beside the pair, and a run that was stopped resumes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.tokenize.megatron_types import TYPES, Choice, choose
from data_tools.tokenize.pipeline import Options, tokenize
from data_tools.tokenize.workers import Progress
from megatron_heph.errors import HephError, InputError
from megatron_heph.formats.manifest import Manifest

_REFUSED = {
    "split_sentences": "a document is one sequence here",
    "find_optimal_num_workers": "there is nothing to search for: --workers up to the number of cores",
    "tokenizer_hf_no_use_fast": "only a tokenizer.json is read, by the fast library",
    "trust_remote_code": "no code of a model is run",
    "tokenizer_sentencepiece_legacy": "special tokens inside a sentencepiece wrapper are not made",
}


def parser() -> argparse.ArgumentParser:
    """Megatron-LM's flags; those without effect here say so."""
    top = argparse.ArgumentParser(prog="preprocess_data", description=__doc__.split("\n\n")[0])
    add = top.add_argument
    add("--input", required=True, help="JSONL file or pattern (.gz and .zst too)")
    add("--json-keys", nargs="+", default=["text"], help="keys to tokenize, each into files of its own")
    add("--output-prefix", required=True, help="files are <prefix>_<key>_document.bin and .idx")
    add("--append-eod", action="store_true", help="end every document with the end-of-document token")
    add("--workers", type=int, default=None, help="default: one per core")
    add("--tokenizer-type", required=True, help=", ".join(TYPES))
    add("--tokenizer-model", type=Path, help="folder or file")
    add("--vocab-file", type=Path, help="vocab.json of GPT2BPETokenizer")
    add("--merge-file", type=Path, help="merges.txt of GPT2BPETokenizer")
    add("--vocab-size", type=int, default=131_072, help="of TikTokenizer, special tokens included")
    add("--tiktoken-pattern", choices=("v1", "v2"), default="v2")
    add("--tiktoken-num-special-tokens", type=int, default=1000)
    add("--tokenizer-special-tokens", "--tiktoken-special-tokens", nargs="+", help="of TikTokenizer")
    add("--tokenizer-hf-no-include-special-tokens", action="store_true", help="no bos or eos of the tokenizer's")
    nothing = "accepted, without effect: "
    add("--partitions", type=int, default=1, help=f"{nothing}workers share the input without cutting it up")
    add("--keep-sequential-samples", action="store_true", help=f"{nothing}the order is always kept")
    add("--log-interval", type=int, default=1000, help=f"{nothing}progress is shown once per ten seconds")
    add("--use-gigatoken", action="store_true", help=f"{nothing}the fastest exact engine is chosen")
    for name, why in _REFUSED.items():
        add("--" + name.replace("_", "-"), action="store_true", help=f"refused: {why}")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code (2: wrong input, 3: the engine is not exact)."""
    args = parser().parse_args(arguments)
    try:
        for name, why in _REFUSED.items():
            if getattr(args, name):
                raise InputError(f"--{name.replace('_', '-')} is not supported: {why}. Leave it out.")
        if args.partitions != 1:
            _say(f"--partitions {args.partitions} has no effect: the documents stay in the order of the input.")
        with tempfile.TemporaryDirectory(prefix="heph-gpt2-") as scratch:
            choice = choose(args, Path(scratch))
            for key in args.json_keys:
                _summarize(key, _tokenize(args, key, choice))
    except HephError as error:
        _say(f"preprocess_data: {error}")
        return error.exit_code
    return 0


def _tokenize(args: argparse.Namespace, key: str, choice: Choice) -> Manifest:
    if choice.eod is None and args.append_eod:
        raise InputError(
            f"--append-eod needs an end-of-document token, and {choice.tokenizer} names no eos: put eos_token "
            f"into the tokenizer_config.json beside it, or leave --append-eod out."
        )
    options = Options(
        tokenizer=choice.tokenizer, scheme=choice.scheme, special_tokens=choice.special_tokens, eod=choice.eod,
        append_eod=args.append_eod, field=key, workers=args.workers, merge=True,
    )  # fmt: skip
    return tokenize([args.input], Path(f"{args.output_prefix}_{key}_document"), options, _progress(), _say)


def _progress() -> Any:
    """A report that says something once per ten seconds."""
    from time import monotonic

    begun = last = monotonic()

    def report(progress: Progress, total: int) -> None:
        nonlocal last
        now = monotonic()
        if now - last >= 10:
            last = now
            done = (progress.kept_bytes + progress.disk_bytes) / max(total, 1)
            rate = progress.text_bytes / (now - begun) / 1e6
            _say(f"{done:6.1%} of the input, {progress.tokens:,} tokens ({rate:.1f} MB/s)")

    return report


def _summarize(key: str, manifest: Manifest) -> None:
    left_out = f"; {manifest.empty:,} without tokens left out" if manifest.empty else ""
    _say(f"{key}: {manifest.documents:,} documents, {manifest.tokens:,} tokens{left_out}")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
