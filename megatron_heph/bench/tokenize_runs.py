"""The runs of the tokenizing benchmark: each job measured, its output kept, and the outputs compared."""

from __future__ import annotations

import filecmp
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from megatron_heph.bench.process import CommandFailedError, Usage, run_measured
from megatron_heph.bench.tokenize_inputs import Inputs
from megatron_heph.bench.tokenize_rows import ONCE
from megatron_heph.bench.tokenize_tools import ROOT, Settings, Tool, outputs

# Which outputs must be the same files: (of whom, of whom, on which input).
_SAME = (
    ("ours", "fast", "full"), ("ours", "fast, 1 thread", "full"), ("ours", "hf", "prefix"),
    ("ours", "datatrove", "prefix"),
    ("ours, 1 worker", "ours, 2 workers", "full"),
)  # fmt: skip


@dataclass(slots=True)
class Runs:
    """What has been measured so far."""

    settings: Settings
    inputs: Inputs
    tools: dict[str, Tool]
    say: Callable[[str], None]
    usages: dict[str, list[Usage]] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    same: dict[str, bool] = field(default_factory=dict)

    def run(self, job: str, index: int) -> bool:
        """One run of one job; False if it cannot be run again, or need not be."""
        tool, _, source = job.partition(" @ ")
        try:
            if tool.startswith("raw "):
                usage = self._run_raw(tool.removeprefix("raw "))
            else:
                usage = self._run_tool(tool, source)
        except CommandFailedError as error:
            self.failed[job] = str(error)
            self.say(f"{job}: {error}")
            return False
        self.usages.setdefault(job, []).append(usage)
        figures = f"{usage.cpu:8.2f} s CPU  {usage.wall:8.2f} s  {usage.peak_memory >> 20:6d} MiB"
        self.say(f"round {index + 1}  {job:<32} {figures}")
        return source not in ONCE

    def _run_tool(self, name: str, source: str) -> Usage:
        tool = self.tools[name]
        if tool.missing:
            raise CommandFailedError(tool.missing)
        folder = self._folder(name, source)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = tool.command(self.inputs.path(source), folder / "out")
        self.commands[name] = self._portable(command)
        usage = run_measured(command, self.settings.work / f"{name}.log", tool.environment)
        if source in ONCE:
            shutil.rmtree(folder)
        return usage

    def _run_raw(self, engine: str) -> Usage:
        """The CPU time is the one that the program measured, of encoding alone."""
        source, log = self.inputs.path("full"), self.settings.work / f"raw-{engine}.log"
        program = [sys.executable, "-m", "megatron_heph.bench.raw_engine", engine]
        program += [str(self.settings.tokenizer), str(source)]
        self.commands[f"raw {engine}"] = self._portable(program)
        usage = run_measured(program, log, {"PYTHONPATH": str(ROOT)})
        return Usage(json.loads(log.read_text().splitlines()[-1])["cpu"], usage.wall, usage.peak_memory)

    def _portable(self, command: list[str]) -> str:
        """A command line without the paths of this machine."""
        settings, line = self.settings, shlex.join(command)
        folders = {settings.work: "$WORK", ROOT: ".", settings.megatron_lm: "Megatron-LM"}
        files = {settings.tokenizer: settings.tokenizer.name, settings.corpus: settings.corpus.name}
        for path, name in {sys.executable: "python", settings.peer_python: "python", **files, **folders}.items():
            line = line.replace(str(path), name)
        return line

    def warm_up(self) -> None:
        """Runs every tool that can on the ten documents, unmeasured: files into memory, Python's into .pyc."""
        for name in [name for name, tool in self.tools.items() if not tool.missing]:
            try:
                self._run_tool(name, "ten")
            except CommandFailedError as error:
                self.say(f"{name}: {error}")

    def compare(self) -> None:
        """Whether the outputs that should be the same files are."""
        for one, other, source in _SAME:
            if self.usages.get(f"{one} @ {source}") and self.usages.get(f"{other} @ {source}"):
                pairs = [outputs(self._folder(name, source)) for name in (one, other)]
                equal = len(pairs[0]) == len(pairs[1]) > 0 and all(
                    filecmp.cmp(a, b, shallow=False) for a, b in zip(*pairs, strict=True)
                )
                self.same[f"{one} = {other} ({source})"] = equal
                self.say(f"outputs of {one} and {other} on {source}: {'the same bytes' if equal else 'DIFFERENT'}")

    def _folder(self, tool: str, source: str) -> Path:
        return self.settings.work / "out" / f"{tool} {source}".replace(", ", "-").replace(" ", "-")
