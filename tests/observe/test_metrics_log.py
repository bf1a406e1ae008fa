import json
import math
import os
import signal
import subprocess
import sys

import pytest
from synthetic_run import BEGUN, heldout, start, step, write_run
from synthetic_run import rows as make_rows

from megatron_heph.errors import InputError
from megatron_heph.observe.metrics import MetricsLog, read_metrics
from megatron_heph.observe.rows import FINISHED, Checkpoint, End, Resume

GAIN = {"agent": 0.9, "code": 0.1, "text": 0.02}


def test_rows_come_back_as_written(tmp_path):
    written = make_rows(gain=GAIN)
    metrics = read_metrics(write_run(tmp_path, written) / "metrics.jsonl")
    read = [*metrics.starts, *metrics.steps, *metrics.heldouts, *metrics.checkpoints, metrics.end]
    assert sorted(map(repr, read)) == sorted(map(repr, written))
    assert metrics.cut_lines == 0
    assert metrics.tokens_by_source() == {"api": 76_800, "traces": 38_400, "stdlib": 96_000, "docs": 96_000}
    assert metrics.stages == ("broad", "seed")
    assert metrics.domains == ("agent", "code", "text")


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.99])
def test_a_cut_last_line_is_passed_over_and_repaired(tmp_path, keep):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        for row in (start(), step(1), heldout(2, GAIN)):
            log.write(row)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(whole[: last + int((len(whole) - last) * keep)])
    metrics = read_metrics(path)
    assert (metrics.step, len(metrics.heldouts), metrics.cut_lines) == (1, 0, 1)
    with MetricsLog(path) as log:
        log.write(step(2))
    metrics = read_metrics(path)
    assert (metrics.step, metrics.cut_lines) == (2, 1)


def test_a_cut_line_may_end_like_a_whole_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(start())
        log.write(heldout(0, GAIN))
    path.write_bytes(path.read_bytes().rsplit(b'}, "code"', 1)[0] + b"}")
    assert read_metrics(path).cut_lines == 1


def test_a_tail_of_zero_bytes_is_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(start())
    with path.open("ab") as file:
        file.write(b"\0" * 100)
    with MetricsLog(path) as log:
        log.write(step(1))
    assert read_metrics(path).step == 1


def test_every_row_is_there_after_kill(tmp_path):
    path = tmp_path / "metrics.jsonl"
    program = (
        "import sys, os, signal; from pathlib import Path\n"
        "from synthetic_run import start, step\n"
        "from megatron_heph.observe.metrics import MetricsLog\n"
        "log = MetricsLog(Path(sys.argv[1])); log.write(start())\n"
        "for n in range(1, 8): log.write(step(n))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_metrics(path).step == 7


def test_a_resume_supersedes_later_rows_but_keeps_them_in_the_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(start())
        for number in range(1, 8):
            log.write(step(number, loss=10.0 + number))
        log.write(heldout(7, GAIN))
        log.write(Checkpoint(step=7, tokens=1, seconds=1.0, path="checkpoints/step-00000007", time=BEGUN))
        log.write(End(step=7, tokens=7 * 1536, seconds=9.0, reason="stopped by SIGTERM", time=BEGUN))
    with MetricsLog(path) as log:
        log.write(start(world_size=4))
        log.write(Resume(step=5, time=BEGUN + 50))
        log.write(step(6, loss=1.0))
    metrics = read_metrics(path)
    assert [row.loss for row in metrics.steps] == [11.0, 12.0, 13.0, 14.0, 15.0, 1.0]
    assert (metrics.heldouts, metrics.checkpoints, metrics.end) == ((), (), None)
    assert (metrics.start.world_size, len(metrics.starts)) == (4, 2)
    assert len(path.read_text().splitlines()) == 14


def test_numbers_that_json_lacks_survive_as_valid_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(start())
        log.write(step(1, loss=math.nan))
        log.write(step(2, loss=math.inf))
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    losses = [row.loss for row in read_metrics(path).steps]
    assert math.isnan(losses[0]) and losses[1] == math.inf


def test_unknown_kinds_and_fields_of_a_later_version_are_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write(start())
    with path.open("a") as file:
        file.write('{"kind": "health", "step": 1}\n')
        file.write(json.dumps({"kind": "resume", "step": 0, "time": 1.0, "later": True}) + "\n")
    assert read_metrics(path).resumes == (Resume(step=0, time=1.0),)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no rows yet"),
        ("epoch,loss\n1,2\n", ":1: the line is not a row"),
        ('{"loss": 1.0}\n', "lacks the key 'kind'"),
        ("[1, 2]\n", "is not a row"),
        ('{"kind": "resume", "step": 1, "time": 1.0}\n', "begins with a row of kind 'resume'"),
        ('{"kind": "resume", "step": "one", "time": 1.0}\n', "invalid literal"),
        ('{"kind": "resume", "time": 1.0}\n', "lacks the key 'step'"),
        ('{"kind": "start", "run": 3}\n', "is not a string"),
    ],
)
def test_foreign_files_are_wrong_input(tmp_path, content, says):
    (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(InputError, match=says):
        read_metrics(tmp_path / "metrics.jsonl")


def test_a_folder_that_is_no_run_is_wrong_input(tmp_path):
    with pytest.raises(InputError, match=r"holds metrics\.jsonl"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_finished_is_a_reason_of_its_own(tmp_path):
    assert read_metrics(write_run(tmp_path, make_rows(gain=GAIN)) / "metrics.jsonl").end.reason == FINISHED


def test_a_resume_alone_reopens_a_run_that_had_ended(tmp_path):
    rows = [*make_rows(gain=GAIN, steps=10), Resume(step=10, time=BEGUN + 50)]
    assert read_metrics(write_run(tmp_path, rows) / "metrics.jsonl").end is None
