"""Reads and writes a Hugging Face folder: config.json, safetensors (one file or sharded), tokenizer files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from megatron_heph.checkpoint.convert import bridge
from megatron_heph.checkpoint.convert.files import (
    Progress,
    no_progress,
    read_json,
    sha256_file,
    write_json,
)
from megatron_heph.checkpoint.convert.source_model import SourceModel, dtype_name, uniform
from megatron_heph.errors import InputError, RefusedError

CONFIG = "config.json"
GENERATION = "generation_config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
_TOKENIZER_FILES = (
    TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt", "tokenizer.model",
)  # fmt: skip
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SHARD_BYTES = 5 * 10**9


def read(folder: Path, label: str, progress: Progress = no_progress) -> SourceModel:
    """Reads a whole model, in bfloat16 if it is stored so, else in float32.

    Raises InputError for missing, cut or contradictory files, and RefusedError for a model that the
    engine would compute differently.
    """
    config = read_json(_existing(folder, CONFIG, "no Hugging Face model folder"))
    where = str(folder / CONFIG)
    family = bridge.for_config(config, where)
    shape = family.shape_from_config(config, where)
    tensors = uniform(_clean(read_tensors(folder, progress), shape.tied, folder))
    dtype = dtype_name(tensors)
    generation = folder / GENERATION
    return SourceModel(
        shape=shape,
        tensors=tensors,
        config={**config, "dtype": dtype, "torch_dtype": dtype},
        tokenizer=read_tokenizer(folder),
        generation_config=read_json(generation) if generation.is_file() else None,
        label=label,
    )


def read_tokenizer(folder: Path) -> dict[str, bytes]:
    """The tokenizer files of a folder by name; InputError if it has no tokenizer.json."""
    _existing(folder, TOKENIZER, "no tokenizer that the tokenizers package can read")
    return {name: (folder / name).read_bytes() for name in _TOKENIZER_FILES if (folder / name).is_file()}


def read_tensors(folder: Path, progress: Progress = no_progress) -> dict[str, Tensor]:
    """All tensors of `model.safetensors`, or of the shards that its index names."""
    names = weight_files(folder)
    tensors: dict[str, Tensor] = {}
    for done, name in enumerate(names):
        progress("reading weights", done, len(names))
        try:
            tensors |= load_file(_existing(folder, name, "an incomplete model"))
        except (SafetensorError, OSError) as error:
            raise InputError(f"{folder / name} is cut short or damaged ({error}); fetch it again.") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise RefusedError(
                f"{folder}: {name} is stored as {tensor.dtype}; only float32, bfloat16 and float16 "
                f"weights are read. Dequantise the model first."
            )
    return tensors


def weight_files(folder: Path) -> list[str]:
    """The names of the weight files, sorted; InputError if there is neither an index nor a single file."""
    if (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise InputError(f"{folder / INDEX} has no weight_map; fetch it again.")
        return sorted(set(weight_map.values()))
    _existing(folder, SINGLE, f"no {INDEX} either; pickled weights are not read: save them as safetensors")
    return [SINGLE]


def source_hash(folder: Path) -> str:
    """One SHA-256 over the names and hashes of all files that a conversion reads."""
    names = [CONFIG, GENERATION, *_TOKENIZER_FILES, *weight_files(folder)]
    present = sorted(name for name in names if (folder / name).is_file())
    lines = [f"{name} {sha256_file(folder / name)}\n" for name in present]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write(model: SourceModel, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes the whole model into an existing folder; weights over `shard_bytes` are sharded."""
    write_json(folder / CONFIG, model.config)
    if model.generation_config is not None:
        write_json(folder / GENERATION, model.generation_config)
    for name, content in model.tokenizer.items():
        (folder / name).write_bytes(content)
    shards = _shards(model.tensors, shard_bytes)
    if len(shards) == 1:
        _save(shards[0], folder / SINGLE)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _save(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    total = sum(tensor.nbytes for tensor in model.tensors.values())
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod((path.parent / CONFIG).stat().st_mode)  # safetensors makes it readable by its owner alone


def _shards(tensors: Mapping[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.contiguous()
        size += tensor.nbytes
    return shards


def _clean(tensors: dict[str, Tensor], tied: bool, folder: Path) -> dict[str, Tensor]:
    """Drops what says nothing new: the frequencies old exports store, and a tied embedding's copy."""
    kept = {name: t for name, t in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if tied and "lm_head.weight" in kept:
        head, embedding = kept.pop("lm_head.weight"), kept.get("model.embed_tokens.weight")
        if embedding is None or not torch.equal(head, embedding):
            raise InputError(
                f"{folder}: {CONFIG} says tie_word_embeddings = true, but lm_head.weight differs from "
                f"model.embed_tokens.weight. Set tie_word_embeddings to false, or remove lm_head.weight."
            )
    return kept


def _existing(folder: Path, name: str, otherwise: str) -> Path:
    path = folder / name
    if not path.is_file():
        found: Any = sorted(p.name for p in folder.iterdir())[:12] if folder.is_dir() else "no folder"
        raise InputError(f"{folder} has no {name}, so it is {otherwise}. Found: {found}.")
    return path
