"""`<prefix>.partial/`: what a run that is not finished knows, so that the next one goes on from there.

`plan.json` names every shard and its inputs; `<shard>.json` says that a shard is finished; `lock` is held
by the run at work.  The folder goes when the manifest is written.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from data_tools.tokenize.plan import Recorded, ShardPlan
from megatron_heph.errors import InputError
from megatron_heph.formats.manifest import Manifest, ShardInfo, manifest_path, read_manifest, write_durably


class State:
    """The unfinished (or finished) work under a prefix."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.folder = prefix.with_name(prefix.name + ".partial")
        self._plan, self._manifest = self.folder / "plan.json", manifest_path(prefix)

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Holds the prefix: alone, or together with other ranks of the same job.

        Raises InputError if another run is at work there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "lock"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise InputError(
                    f"Another run is writing {self.prefix} (it holds {path}): wait for it, or give another -o."
                ) from error
            # The run before may have removed the folder, and the lock with it, since it was opened.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                break
            os.close(descriptor)
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            if not shared and {entry.name for entry in self.folder.glob("*")} <= {"lock", "plan.lock"}:
                shutil.rmtree(self.folder, ignore_errors=True)      # nothing was begun
            os.close(descriptor)

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Waits until no other rank is between reading what is recorded and writing its plan."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "plan.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def earlier_manifest(self) -> Manifest | None:
        """The manifest of a finished run; None where there is none."""
        return read_manifest(self._manifest) if self._manifest.is_file() else None

    def recorded(self) -> tuple[list[Recorded], dict[str, ShardInfo], Manifest | None]:
        """The shards planned so far, what is known of the finished ones by name, and the settings of both."""
        whole = self.earlier_manifest()
        finished = {info.name: info for info in whole.shards} if whole else {}
        if not self._plan.is_file():
            return [_recorded(info) for info in whole.shards] if whole else [], finished, whole
        names = self._planned()
        settings = whole
        for shard in names:
            path = self._info_path(shard.name)
            if path.is_file():
                settings = read_manifest(path)
                finished[shard.name] = settings.shards[0]
        return names, finished, settings

    def _planned(self) -> list[Recorded]:
        if not self._plan.is_file():
            return []
        try:
            row = json.loads(self._plan.read_bytes())
        except ValueError as error:
            raise InputError(f"{self._plan} is damaged ({error}): remove {self.folder} and run again.") from error
        return [Recorded(name, tuple((p, b, e, n) for p, b, e, n in pieces)) for name, pieces in row["shards"]]

    def begin(self, plans: Sequence[ShardPlan], settings: Manifest, touched: Sequence[str]) -> None:
        """Writes the plan down before any shard of it is made.

        Where shards of a finished source will be made again (`touched`), its manifest is taken apart
        first: at no time does a manifest describe files that are no longer so.
        """
        shards = [
            (plan.name, [(p.file.name, p.begin, p.end, p.file.bytes) for p in plan.pieces]) for plan in plans
        ]
        text = json.dumps({"shards": shards}).encode()
        kept = {plan.name for plan in plans}
        for shard in self._planned():
            if shard.name not in kept and not self._info_path(shard.name).is_file():
                _remove_shard(self.prefix.with_name(shard.name))      # begun under another plan
        if not self._plan.is_file() or self._plan.read_bytes() != text:
            write_durably(self._plan, text)
        self._unfold(settings, touched)

    def _unfold(self, settings: Manifest, touched: Sequence[str]) -> None:
        whole = self.earlier_manifest()
        if whole and touched:
            for info in whole.shards:
                if info.name not in touched and not self._info_path(info.name).is_file():
                    self.finish_shard(info, settings)
            self._manifest.unlink()

    def finish_shard(self, info: ShardInfo, settings: Manifest) -> None:
        """Says that a shard is complete."""
        replace(settings, shards=(info,)).write(self._info_path(info.name))

    def forget_shard(self, name: str) -> None:
        """Takes back what was said of a shard, before it is made again."""
        self._info_path(name).unlink(missing_ok=True)

    def finish(self, manifest: Manifest) -> None:
        """Writes the manifest; what only this run needed goes."""
        manifest.write(self._manifest)
        kept = {info.name for info in manifest.shards}
        for path in self.folder.glob("*.json"):
            if path.stem not in kept and path.name != "plan.json":
                _remove_shard(self.prefix.with_name(path.stem))
        shutil.rmtree(self.folder)

    def _info_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _recorded(info: ShardInfo) -> Recorded:
    return Recorded(info.name, tuple((p.path, p.begin, p.end, p.file_bytes) for p in info.inputs))


def _remove_shard(prefix: Path) -> None:
    for suffix in (".bin", ".idx", ".mask", ".quarantine.jsonl"):
        prefix.with_name(prefix.name + suffix).unlink(missing_ok=True)
