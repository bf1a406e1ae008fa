"""Requests to stop: a checkpoint and exit code 75; and no process outlives its launcher, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support import tiny
from support.processes import environment

from megatron_heph.errors import StoppedError
from megatron_heph.observe.metrics import read_metrics
from megatron_heph.train.local import WorkerError, _judge
from megatron_heph.train.run_folder import RunFolder

LISTENER = """
import signal, sys, time
from megatron_heph.train import stop
stop._ONE_REQUEST = float(sys.argv[1])
request = stop.StopRequest()
request.listen()
print("listening", flush=True)
while not request.asked:
    time.sleep(0.01)
print(request.reason, flush=True)
time.sleep(30 if len(sys.argv) > 2 else 1.0)
"""


def wait_for(happened: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def listener(*arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER, *arguments], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "listening\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_one_request_may_come_twice(number: signal.Signals) -> None:
    process = listener("60")
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.05)
    assert process.communicate(timeout=30)[0] == f"{number.name}\n" and process.returncode == 0


def test_a_later_request_ends_the_process() -> None:
    process = listener("0.1", "long")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == -signal.SIGINT


@pytest.mark.parametrize(
    ("codes", "asked", "outcome"),
    [
        ([0, 0], [], None),
        ([0, 0], [15], None),                                   # it came after the last step
        ([75, 75], [15], StoppedError),
        ([75, 75], [], StoppedError),                           # the workers were asked by somebody else
        ([75, None], [15], StoppedError),
        ([-15, 75], [15], StoppedError),                        # one had not begun to listen
        ([], [2], StoppedError),                                # asked before the first was started
        ([-15, 75], [], WorkerError),
        ([-9, 75], [15], WorkerError),
        ([1, None], [], WorkerError),
    ],
)
def test_what_exit_codes_mean(tmp_path: Path, codes: list[int | None], asked: list[int], outcome: type | None) -> None:
    if outcome is None:
        _judge(RunFolder(tmp_path), codes, asked)
        return
    with pytest.raises(outcome) as caught:
        _judge(RunFolder(tmp_path), codes, asked)
    assert caught.value.exit_code == (75 if outcome is StoppedError else 1)


def test_a_failed_process_shows_its_log(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log(1).parent.mkdir()
    folder.log(1).write_text("first\nthe reason\n")
    with pytest.raises(WorkerError, match=r"process 1 of the grid was ended by SIGKILL.*:\nfirst\nthe reason"):
        _judge(folder, [None, -9], [])
    with pytest.raises(WorkerError) as caught:
        _judge(folder, [3, 3], [])
    assert caught.value.exit_code == 3 and "the reason stands above" in str(caught.value)


@pytest.fixture
def launch(recipe: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the recipe's run in a group of its own; what a failed test leaves running is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "megatron_heph.cli.main", "train", str(recipe)]
        with (recipe.parent / "train.log").open("ab") as log:
            group = {"stdout": log, "stderr": log, "start_new_session": True}
            started.append(subprocess.Popen(command, env=environment(), **group))
        return started[-1]

    yield start
    for process in started:
        for number in {process.pid} if process.poll() is None else set(workers(process.pid)):
            os.kill(number, signal.SIGKILL)


@pytest.fixture
def recipe(tiny_data: dict[str, Any], tmp_path: Path) -> Path:
    table = tiny.recipe(tiny_data, tmp_path / "run", data=2)
    table["stage"][0]["tokens"] = 256 * 100_000           # it never ends by itself
    table["data"] = {"sources": tiny_data["sources"]}
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def workers(launcher: int) -> list[int]:
    """The processes with the variable that the launcher gives to its workers, and theirs."""
    mark = f"HEPH_LAUNCHER={launcher}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.grid
def test_requests_end_in_a_checkpoint_that_goes_on(
    recipe: Path, launch: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """Once to the launcher alone, as Slurm and systemd may; once to the whole group, as a terminal does."""
    metrics, reached = recipe.parent / "run" / "metrics.jsonl", 0
    for kill, number in ((os.kill, signal.SIGTERM), (os.killpg, signal.SIGINT)):
        process = launch()
        wanted = f'"step": {reached + 3},'.encode()
        wait_for(lambda wanted=wanted: metrics.is_file() and wanted in metrics.read_bytes())
        kill(process.pid, number)
        assert process.wait(timeout=60) == 75, (recipe.parent / "train.log").read_text()
        record = read_metrics(metrics)
        assert record.step >= reached + 3 and record.end is not None and number.name in record.end.reason
        assert RunFolder(recipe.parent / "run").checkpoints.steps()[-1] == record.step
        assert record.resumes == () if not reached else record.resumes[-1].step == reached
        assert not workers(process.pid)
        reached = record.step
    log = (recipe.parent / "train.log").read_text()
    assert "Traceback" not in log and log.count("stopped as asked; the same command goes on") == 2


@pytest.mark.grid
def test_a_killed_launcher_leaves_nothing_behind(launch: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = launch()
    wait_for(lambda: len(workers(process.pid)) >= 2)
    time.sleep(0.5)
    process.kill()
    process.wait()
    wait_for(lambda: not workers(process.pid), 10)
