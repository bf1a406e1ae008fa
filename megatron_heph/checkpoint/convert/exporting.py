"""Takes a trained model out: from a checkpoint of any grid to a Hugging Face folder with its certificate."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from megatron_heph.checkpoint.convert import bridge, hf_folder
from megatron_heph.checkpoint.convert.certificate import (
    FILE,
    LENGTH,
    LogitComparison,
    certify,
    compare_logits,
    pinned_batch,
)
from megatron_heph.checkpoint.convert.files import Progress, new_folder, no_progress, read_json, versions
from megatron_heph.checkpoint.convert.opening import OpenedModel, find_checkpoint, open_checkpoint
from megatron_heph.checkpoint.convert.source_model import SourceModel, dtype_name
from megatron_heph.engine import weights
from megatron_heph.errors import InputError

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What an export was compared with."""

    comparison: LogitComparison  # our engine on the exported weights, against transformers
    rounding: LogitComparison  # the exported weights against the checkpoint's own, both in our engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A Hugging Face folder that is in place."""

    folder: Path
    label: str
    proofs: Proofs | None  # None if the folder was there already, from this very checkpoint


def export_model(
    source: Path, destination: Path, *, dtype: str = "bf16", progress: Progress = no_progress
) -> Exported:
    """Writes the last checkpoint of a run, or a given one, as a Hugging Face folder; `dtype` is bf16 or fp32.

    An export that is there already, of this very checkpoint and dtype, is kept.  Raises InputError if
    there is no checkpoint or `destination` holds something else, and RefusedError if transformers does
    not compute what our engine computes.
    """
    if dtype not in DTYPES:
        raise InputError(f"The dtype is {dtype!r}; it is one of {', '.join(DTYPES)}.")
    checkpoint = find_checkpoint(source)
    origin = {"checkpoint": checkpoint.folder.name, "files": _fingerprint(checkpoint.folder), "dtype": dtype}
    if destination.exists():
        if (destination / FILE).is_file() and read_json(destination / FILE).get("origin") == origin:
            return Exported(folder=destination, label=checkpoint.label, proofs=None)
        raise InputError(
            f"{destination} exists and is no export of {checkpoint.folder} as {dtype}; give another folder with -o, "
            f"or remove it."
        )
    progress("reading the checkpoint", 0, 1)
    opened = open_checkpoint(checkpoint)
    rounded = {name: tensor.to(DTYPES[dtype]) for name, tensor in opened.tensors.items()}
    with new_folder(destination) as folder:
        progress("writing the model", 0, 1)
        hf_folder.write(_hf_model(opened, rounded, checkpoint.run), folder)
        progress("comparing with transformers", 0, 1)
        rounding = _rounding(opened, rounded)
        extra = {"label": opened.label, "origin": origin, "rounding": {"dtype": dtype, **asdict(rounding)}}
        comparison = certify(folder, opened.shape, rounded, extra)
        card = model_card(destination.name, opened.label, dtype, comparison, rounding)
        (folder / "README.md").write_text(card, encoding="utf-8")
    proofs = Proofs(comparison=comparison, rounding=rounding)
    return Exported(folder=destination, label=opened.label, proofs=proofs)


def _fingerprint(folder: Path) -> str:
    """The names, sizes and times of a checkpoint's files, hashed: the same only for the same checkpoint."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listing = [(str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr(listing).encode()).hexdigest()


def _hf_model(opened: OpenedModel, rounded: dict[str, torch.Tensor], run: Path) -> SourceModel:
    family = bridge.for_family(opened.shape.family)
    name = dtype_name(rounded)
    ids = _token_ids(opened.tokenizer)
    return SourceModel(
        shape=opened.shape,
        tensors=family.to_hf(opened.shape, rounded, str(run)),
        config={**family.config_from_shape(opened.shape), **ids, "dtype": name, "torch_dtype": name},
        tokenizer=hf_folder.read_tokenizer(opened.tokenizer),
        generation_config=ids or None,
        label=opened.label,
    )


def _token_ids(folder: Path) -> dict[str, int]:
    """The ids of the bos, eos and pad tokens that tokenizer_config.json names."""
    from tokenizers import Tokenizer

    settings = folder / "tokenizer_config.json"
    if not settings.is_file():
        return {}
    table = read_json(settings)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found: dict[str, int] = {}
    for key in _TOKEN_IDS:
        token: Any = table.get(key.removesuffix("_id"))
        text = token.get("content") if isinstance(token, dict) else token
        number = tokenizer.token_to_id(text) if isinstance(text, str) else None
        if number is not None:
            found[key] = number
    return found


def _rounding(opened: OpenedModel, rounded: dict[str, torch.Tensor]) -> LogitComparison:
    length = min(LENGTH, opened.shape.max_positions)
    tokens_BL = pinned_batch(opened.shape.vocab, opened.tokenizer / "tokenizer.json", length)
    own = weights.logits(opened.shape, opened.tensors, tokens_BL)
    return compare_logits(weights.logits(opened.shape, rounded, tokens_BL), own, tokens_BL)


def model_card(
    name: str, label: str, dtype: str, comparison: LogitComparison, rounding: LogitComparison
) -> str:
    """The README.md of an exported model: what it is, and what was proven about the export."""
    reference = versions().get("transformers", "transformers")
    return f"""---
library_name: transformers
pipeline_tag: text-generation
---
# {name}

{label}.

Exported by megatron_heph as {dtype}. Loaded back with transformers {reference} in float32 and compared with
the training engine on the same weights: {comparison.sentence()} (`{FILE}`).
Against the checkpoint before rounding to {dtype}: {rounding.sentence()}.

A model that continues another one is bound by that one's licence.
"""
