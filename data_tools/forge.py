"""The forge: readers -> curation -> held-out split -> shards and a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools import manifest as manifests
from data_tools.curate.dedup import ExactDuplicates
from data_tools.curate.heldout import is_heldout, provider_of
from data_tools.curate.length import LengthBounds
from data_tools.curate.licence import AllowedLicence
from data_tools.curate.sample import sample
from data_tools.curate.secrets import MaskSecrets
from data_tools.curate.step import Ledger, Step, curate
from data_tools.packages import Package
from data_tools.recipe import Forge
from data_tools.shards import write_shards
from data_tools.sources.base import Reader
from megatron_heph.errors import InputError, RefusedError, nearest
from megatron_heph.formats.document import Document

Progress = Callable[[str, int, int, int], None]
"""Called after each unit of work: source, units done, units in all, documents kept so far."""


@dataclass(frozen=True, slots=True)
class Forged:
    """A finished corpus; `made` is False where it stood already and nothing was done."""

    folder: Path
    manifest: dict[str, Any]
    made: bool


def forge(recipe: Forge, *, force: bool = False, progress: Progress | None = None) -> Forged:
    """Makes the corpus of a recipe, all of it or nothing.

    It is written beside its place and moved there when it is whole.  A finished corpus of the same
    recipe, packages and code is left as it is; a different one is refused (RefusedError) without `force`.
    """
    packages = _packages(recipe.readers)
    fingerprint = manifests.fingerprint(recipe.table(), packages)
    standing = _standing(recipe.output, fingerprint, force)
    if standing is not None:
        return Forged(recipe.output, standing, made=False)
    partial = recipe.output.with_name(recipe.output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        manifest = {
            "format": manifests.FORMAT,
            "name": recipe.name,
            "recipe": recipe.table(),
            "fingerprint": fingerprint,
            "packages": [package.describe() for package in packages],
            **_fill(recipe, partial, progress),
        }
        manifests.write_manifest(partial, manifest)
        _replace(recipe.output, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Forged(recipe.output, manifest, made=True)


def _replace(folder: Path, new: Path) -> None:
    """Puts `new` in the place of `folder`; at every moment one of the two corpora is whole on disk."""
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _packages(readers: Sequence[Reader]) -> list[Package]:
    """Every package once, by name and version."""
    found = {(package.name, package.version): package for reader in readers for package in reader.inputs()}
    return [found[key] for key in sorted(found)]


def _standing(folder: Path, fingerprint: str, force: bool) -> dict[str, Any] | None:
    """The manifest of the finished corpus of this fingerprint; None if there is work to do."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / manifests.MANIFEST).is_file():
        raise RefusedError(
            f"{folder} exists and is no corpus (it has no {manifests.MANIFEST}), so it is not replaced: "
            f"change `output` in the recipe, or move it away."
        )
    if force:
        return None
    standing = manifests.read_manifest(folder)
    if standing["fingerprint"] == fingerprint:
        return standing
    raise RefusedError(
        f"{folder} holds the corpus {standing['name']!r} of another recipe, other package versions or "
        f"another version of the forge (fingerprint {standing['fingerprint'][:12]}, now {fingerprint[:12]}): "
        f"--force replaces it; another `output` keeps both."
    )


def _fill(recipe: Forge, folder: Path, progress: Progress | None) -> dict[str, Any]:
    """Runs all readers and writes all shards; returns the manifest's `sources`, `domains` and `files`."""
    dedup = ExactDuplicates()
    sources: dict[str, Any] = {}
    domains: dict[str, Any] = {}
    files: list[dict[str, Any]] = []
    for reader in recipe.readers:
        ledger, masker = Ledger(), MaskSecrets()
        steps: list[Step] = [
            LengthBounds(reader.shortest, reader.longest),
            AllowedLicence(recipe.licences.allow),
            masker,
            dedup,
        ]
        documents = list(_read(reader, steps, ledger, progress))
        _require_documents(reader, documents, ledger)
        train, heldout = _split(recipe, reader, documents, ledger)
        sources[reader.name] = {
            "kind": reader.kind,
            "domain": reader.domain,
            "dropped": ledger.table(),
            "masked": dict(masker.masked),
            "train": manifests.describe_documents(train),
            "heldout": manifests.describe_documents(heldout),
        }
        for part, chosen in (("train", train), ("heldout", heldout)):
            place = folder / ("heldout" if part == "heldout" else "") / reader.domain
            files += write_shards(folder, place, reader.name, chosen, recipe.shard_characters)
            row = domains.setdefault(reader.domain, {}).setdefault(part, {"documents": 0, "characters": 0})
            row["documents"] += len(chosen)
            row["characters"] += sources[reader.name][part]["characters"]
    _require_heldout(recipe, domains)
    return {"sources": sources, "domains": domains, "files": sorted(files, key=lambda row: str(row["path"]))}


def _read(reader: Reader, steps: list[Step], ledger: Ledger, progress: Progress | None) -> Iterator[Document]:
    units = reader.units()
    kept = 0
    for done, unit in enumerate(units, 1):
        for document in curate(reader.read(unit), steps, ledger):
            kept += 1
            yield document
        if progress:
            progress(reader.name, done, len(units), kept)


def _split(
    recipe: Forge, reader: Reader, documents: Sequence[Document], ledger: Ledger
) -> tuple[list[Document], list[Document]]:
    """(train, held-out) documents of one source, each under its caps."""
    providers = {provider_of(document) for document in documents}
    for name in reader.heldout:
        if name not in providers:
            raise InputError(
                f"reader.{reader.name}.heldout names {name!r}, no provider here; {nearest(name, providers)}"
            )
    share = recipe.heldout.share
    out = {p for p in providers if is_heldout(p, recipe.seed, share, reader.heldout)} if share else set()
    train = [document for document in documents if provider_of(document) not in out]
    heldout = [document for document in documents if provider_of(document) in out]
    kept = sample(
        train,
        recipe.seed,
        max_documents=reader.max_documents,
        max_characters=reader.max_characters,
        max_provider_documents=reader.max_provider_documents,
    )
    kept_out = sample(
        heldout,
        recipe.seed,
        max_documents=recipe.heldout.max_documents,
        max_characters=recipe.heldout.max_characters,
        max_provider_documents=reader.max_provider_documents,
    )
    ledger.drop("sample", "over the source's caps", len(train) - len(kept))
    ledger.drop("sample", "over the held-out caps", len(heldout) - len(kept_out))
    return kept, kept_out


def _require_documents(reader: Reader, documents: Sequence[Document], ledger: Ledger) -> None:
    if documents:
        return
    reasons = [f"{step}: {reason} ({count})" for (step, reason), count in sorted(ledger.counts.items())]
    raise InputError(
        f"reader.{reader.name} leaves no document after curation; dropped: {'; '.join(reasons) or 'none'}. "
        f"Widen what it reads, its bounds, or licences.allow."
    )


def _require_heldout(recipe: Forge, domains: dict[str, Any]) -> None:
    for domain, row in domains.items():
        empty = [part for part in ("train", "heldout") if not row[part]["documents"]]
        if recipe.heldout.share and empty:
            hint = "lower heldout.share" if empty == ["train"] else "name some by `heldout` in a reader"
            raise InputError(
                f"The domain {domain} has no {empty[0]} document. Whole providers are held out, by "
                f"heldout.share = {recipe.heldout.share}: {hint}, or set it to 0 for a corpus without "
                f"a held-out part."
            )
