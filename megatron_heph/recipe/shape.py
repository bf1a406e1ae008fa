"""What a model is (its shape), and what a base model on disk is (a folder with its proofs)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.toml_tree import build

FAMILIES = ("llama",)
RECORD = "heph.json"  # what makes a folder a base model
WEIGHTS = "megatron"  # the subfolder with megatron-core's torch_dist weights, loadable on any grid
_TEXTS = ("label", "source", "source_sha256", "dtype", "tokenizer_sha256")  # keys of the record


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Everything that a dense decoder's mathematics depends on, apart from the weights.

    Llama: RMSNorm, rotary positions on halves, SwiGLU, no biases.  `vocab` is the number of rows of
    the embedding, without the padding a grid may add.  Raises InputError for an impossible shape.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    max_positions: int
    rope_theta: float
    norm_eps: float
    tied: bool  # the output layer is the embedding

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise InputError(f"The model's family is {self.family!r}: {nearest(self.family, FAMILIES)}")
        for name, value in asdict(self).items():
            if name not in ("family", "tied") and not value > 0:
                raise InputError(f"The model's {name} is {value}; it is a positive number.")
        if self.heads % self.kv_heads:
            legal = [k for k in range(1, self.heads + 1) if self.heads % k == 0]
            raise InputError(
                f"The model has {self.heads} heads and {self.kv_heads} kv_heads, but every KV head serves "
                f"equally many heads: set kv_heads to one of {', '.join(map(str, legal))}."
            )
        if self.head_dim % 2:
            raise InputError(
                f"The model's head_dim is {self.head_dim}, but rotary positions pair its halves: "
                f"set it to {self.head_dim - 1} or {self.head_dim + 1}."
            )

    @property
    def parameters(self) -> int:
        """All parameters; a tied embedding counts once."""
        return self.non_embedding_parameters + self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def non_embedding_parameters(self) -> int:
        """The parameters without the embedding and the output layer."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        layer = attention + 3 * self.hidden * self.ffn + 2 * self.hidden
        return self.layers * layer + self.hidden

    def to_dict(self) -> dict[str, Any]:
        """The plain table, as `heph.json` and a run's `model.json` hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, table: dict[str, Any], where: str = "model") -> ModelShape:
        """Reads the plain table; InputError names an unknown, missing or wrongly typed key under `where`."""
        return build(cls, table, where)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """An imported base model: its folder, its shape, and where it comes from."""

    folder: Path
    shape: ModelShape
    label: str  # what it is, such as "SmolLM2-135M-Instruct, dequantised from 4-bit GGUF (Q4_1)"
    source: str  # the file or folder it was imported from, by name
    source_sha256: str
    dtype: str  # of model.safetensors: "float32" or "bfloat16"
    tokenizer_sha256: str  # formats.tokenizer.tokenizer_hash of its tokenizer.json

    @property
    def tokenizer(self) -> Path:
        """The folder that holds tokenizer.json and tokenizer_config.json."""
        return self.folder

    @property
    def weights(self) -> Path:
        """The torch_dist checkpoint of the weights, under megatron's names."""
        return self.folder / WEIGHTS


def read_base(path: Path) -> BaseModel:
    """Reads the record of a base model and checks that all its files are there with their sizes.

    Raises InputError if the folder is missing, was never imported, or is incomplete.
    """
    if not path.is_dir():
        raise InputError(_missing(path))
    record_path = path / RECORD
    if not record_path.is_file():
        raise InputError(
            f"{path} holds no {RECORD}, so it is no imported base model; import it with "
            f"`heph convert import {path} -o {path.name}-base` and set model.base to the new folder."
        )
    record = _read_record(record_path)
    for name, size in record["files"].items():
        found = (path / name).stat().st_size if (path / name).is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found:,} bytes"
            raise InputError(
                f"The base model at {path} is incomplete: {name} {state}, and {RECORD} names {size:,} bytes. "
                f"Remove the folder and import it again with `heph convert import ... -o {path}`."
            )
    return BaseModel(
        folder=path,
        shape=ModelShape.from_dict(record["shape"], f"{record_path}: shape"),
        **{key: record[key] for key in _TEXTS},
    )


def _missing(path: Path) -> str:
    partial = path.with_name(path.name + ".partial")
    siblings = [record.parent.name for record in path.parent.glob(f"*/{RECORD}")]
    hint = f" An import was cut short at {partial}." if partial.is_dir() else ""
    near = f" In {path.parent}: {nearest(path.name, siblings)}" if siblings else ""
    return (
        f"There is no base model at {path}; a missing base never means random weights.{hint}{near} "
        f"Import one with `heph convert import SRC -o {path}`, or change model.base."
    )


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); import the base model again.") from error
    for key, kind in {**dict.fromkeys(_TEXTS, str), "shape": dict, "files": dict}.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise InputError(f"{path} lacks the key {key} ({kind.__name__}); import the base model again.")
    return dict(record)


def write_model(path: Path, shape: ModelShape, base_label: str | None) -> None:
    """Writes a run's `model.json`: the shape, and the label of its base (None for a fresh model)."""
    path.write_text(
        json.dumps({**shape.to_dict(), "base_label": base_label}, indent=2) + "\n", encoding="utf-8"
    )


def read_model(path: Path) -> tuple[ModelShape, str | None]:
    """Reads a run's `model.json`; InputError names the file and the key."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        base_label = table.pop("base_label", None)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is no record of a run's model ({error}).") from error
    return ModelShape.from_dict(table, str(path)), base_label
