"""Held-out losses of any model that can be opened: a base, a Hugging Face folder, a checkpoint or a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megatron_heph.checkpoint.convert.opening import OpenedModel, open_model
from megatron_heph.engine.weights import meter
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.tokenizer import check_same_tokenizer, tokenizer_hash
from megatron_heph.formats.toml_tree import read_toml
from megatron_heph.observe.rows import DomainLoss
from megatron_heph.recipe.resolve import recipe_from_table
from megatron_heph.train.heldout import HeldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What was measured, on what."""

    model: str                          # the model's label
    sequence: int                       # tokens per window
    domains: dict[str, DomainLoss]


def measure(target: Path, heldout: dict[str, str], sequence: int, limit: int) -> Losses:
    """Mean loss per domain of `target` on held-out sources (domain -> prefix), in fp32 on this process.

    Windows of `sequence` tokens, at most `limit` tokens per domain.  Raises InputError for a target or a
    source that cannot be read, RefusedError for a source of another tokenizer.
    """
    if not heldout:
        raise InputError("There is nothing to measure on: name held-out sources with --heldout agent=PREFIX ...")
    model = open_model(target)
    sources = {domain: TokenizedSource.open(path, vocab_size=model.shape.vocab) for domain, path in heldout.items()}
    _check_tokenizer(model, sources, target)
    windows = HeldOut(sources, sequence, limit, micro_batch=2)
    with meter(model.shape, model.tensors) as engine:
        return Losses(model=model.label, sequence=sequence, domains=windows.measure(engine))


def of_run(run: Path) -> tuple[dict[str, str], int, int]:
    """The held-out sources, window and limit of a run's recipe, so that its numbers are measured again."""
    recipe = recipe_from_table(read_toml(run / "recipe.toml"), where=str(run / "recipe.toml"))
    return recipe.data.heldout, recipe.stage[0].sequence, recipe.observe.heldout_tokens


def _check_tokenizer(model: OpenedModel, sources: dict[str, TokenizedSource], target: Path) -> None:
    if not (model.tokenizer / "tokenizer.json").is_file():
        return                          # a model that began from random weights may have none
    own = tokenizer_hash(model.tokenizer)
    for source in sources.values():
        if source.manifest is not None:
            check_same_tokenizer(source.manifest, own, prefix=source.prefix, base=target)
