"""What a run read at any step: computed from its table of segments, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from megatron_heph.checkpoint.store import TrainState
from megatron_heph.data.records import as_recorded, reopen
from megatron_heph.data.segments import Point, segment_at
from megatron_heph.data.sources import Sources, TrainingSource, open_training
from megatron_heph.data.timeline import AnyLoader, Part, open_loader, parts
from megatron_heph.errors import InputError, nearest
from megatron_heph.recipe.resolved import Machine, Resolved
from megatron_heph.recipe.tree import Parallel, Source, Stage
from megatron_heph.train.run_folder import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPart:
    """A run of positions of a sample that are one document's, or a part of it."""

    sample: int                         # of the step, from 0
    source: str
    shard: str                          # name of the pair that the document lies in
    document: int                       # of the source, from 0
    tokens: int                         # of the whole document
    first: int                          # token of the document that the part begins at
    column: int                         # position of the sample that it begins at
    count: int                          # positions
    start: int                          # position in the source's stream


@dataclass(frozen=True, slots=True)
class FoundStep:
    """A step of a run, done or to come."""

    loader: AnyLoader
    number: int                         # in the loader's segment, from 0
    stage: Stage | None = None          # of a step to come: its stage,
    stage_tokens: int = 0               # and the positions that this reads before


@dataclass(frozen=True, slots=True)
class History:
    """A run's past, and what its recipe makes of the rest."""

    folder: RunFolder
    resolved: Resolved
    sources: Sources                    # also those that the run has dropped
    saved: TrainState | None

    @classmethod
    def open(cls, folder: RunFolder) -> History:
        """Reads a run folder, for one process on any machine; InputError if it is none, or a source is gone."""
        resolved = folder.resolved(Machine(cores=1, gpus=0))
        alone = replace(resolved.recipe, parallel=Parallel(data=1))
        resolved = replace(resolved, recipe=alone, grid=type(resolved.grid)())
        saved = folder.newest()
        sources = open_training(resolved)
        if saved is not None:
            sources, _ = as_recorded(sources, saved.sources)
            for name, tokens in reopen(saved.sources, saved.sources.keys() - sources.keys()).items():
                kept = saved.sources[name]
                node = Source(path=kept.path, domain=kept.domain, window=kept.window)
                sources[name] = TrainingSource(name, tokens, node)
        return cls(folder, resolved, dict(sorted(sources.items())), saved)

    def find(self, step: int) -> FoundStep:
        """Where step `step` (from 1), done or to come, is in the run; InputError for one that the run does not have."""
        number = step - 1
        if self.saved is not None and 0 <= number < self.saved.step:
            segment = segment_at(self.saved.segments, number)
            return FoundStep(open_loader(segment, self.sources, self.resolved), number - segment.step)
        point = self.saved.point if self.saved else Point()
        for part in self._ahead(point) if number >= point.step else ():
            if number < point.step + part.stop - part.first:
                before = part.counted(point, number - point.step)
                return FoundStep(part.loader, part.first + number - point.step, part.stage, before.stage_tokens)
            point = part.after(point, part.stop - part.first)
        raise InputError(f"--step is {step}; the run {self.folder.path} has the steps 1 to {point.step}.")

    def steps_of(self, source: str, document: int) -> list[int]:
        """The steps (from 1), done or to come, that read document `document` of a source, counted from 0.

        Raises InputError for a source or a document that is not there.
        """
        if source not in self.sources:
            raise InputError(f"The run reads no source {source!r}: {nearest(source, self.sources)}")
        tokens = self.sources[source].tokens
        if not 0 <= document < tokens.total_documents:
            raise InputError(f"{source} has the documents 0 to {tokens.total_documents - 1}, and not {document}.")
        _, _, start, length = tokens.document(document)
        return sorted(
            1 + segment_step + step
            for segment_step, loader, first, stop in self._loaders()
            for step in loader.steps_of(source, start, length, stop)
            if step >= first
        )

    def _loaders(self) -> Iterator[tuple[int, AnyLoader, int, int]]:
        """(the run's steps before it, loader, first step in it, stop) of every segment, past and to come."""
        point = self.saved.point if self.saved else Point()
        segments = self.saved.segments if self.saved else ()
        ends = [segment.step for segment in segments[1:]] + [point.step]
        for segment, end in zip(segments, ends, strict=False):
            yield segment.step, open_loader(segment, self.sources, self.resolved), 0, end - segment.step
        for part in self._ahead(point):
            yield part.segment.step, part.loader, part.first, part.stop

    def _ahead(self, point: Point) -> Iterator[Part]:
        live = {name: self.sources[name] for name in sorted(self.resolved.recipe.data.sources)}
        return parts(self.resolved, live, point, self.saved.segments[-1] if self.saved else None)

    def documents(self, step: int) -> list[DocumentPart]:
        """The documents of a step (from 1), sample by sample, in the order of their positions."""
        found = self.find(step)
        pieces, owners = found.loader.pieces(found.number)
        names = list(self.sources)
        return [
            part
            for row, column, _, start, count in pieces.tolist()
            for part in _split(self.sources[names[owners[row]]], row, column, start, count)
        ]


def _split(source: TrainingSource, sample: int, column: int, start: int, count: int) -> Iterator[DocumentPart]:
    """The documents of a piece of a sample."""
    done = 0
    while done < count:
        shard, number, begin, length = source.tokens.document_at(start + done)
        inside = min(begin + length, start + count) - (start + done)
        yield DocumentPart(
            sample=sample, source=source.name, shard=source.tokens.shards[shard].prefix.name,
            document=number + sum(other.documents for other in source.tokens.shards[:shard]),
            tokens=length, first=start + done - begin, column=column + done, count=inside, start=start + done,
        )  # fmt: skip
        done += inside
