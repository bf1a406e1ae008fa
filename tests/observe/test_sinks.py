import http.server
import logging
import threading

import pytest
from synthetic_run import heldout, start, step
from synthetic_run import rows as make_rows

from megatron_heph.errors import InputError
from megatron_heph.observe.rows import Resume
from megatron_heph.observe.sinks import Sinks, TensorBoardSink, WandbSink, open_sinks

GAIN = {"agent": 0.9, "code": 0.1, "text": 0.02}


def read_back(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    return events.Reload()


def test_tensorboard_reads_the_curves_back(tmp_path):
    pytest.importorskip("tensorboard")
    rows = make_rows(gain=GAIN, steps=40)
    sink = TensorBoardSink(tmp_path)
    for row in rows:
        sink.write(row)
    sink.close()
    events = read_back(tmp_path)
    names = events.Tags()["scalars"]
    expected = {"loss/train", "loss/train/api", "heldout/agent", "optim/lr", "speed/tokens_per_second"}
    assert expected <= set(names)
    steps = [row for row in rows if row.kind == "step"]
    read = events.Scalars("loss/train")
    assert [event.step for event in read] == [row.step for row in steps]
    assert [event.value for event in read] == pytest.approx([row.loss for row in steps], rel=1e-6)
    assert [event.wall_time for event in read] == pytest.approx([row.time for row in steps])
    assert [event.step for event in events.Scalars("heldout/code")] == [0, 20, 40]


def test_tensorboard_drops_what_a_resume_supersedes(tmp_path):
    pytest.importorskip("tensorboard")
    sink = TensorBoardSink(tmp_path)
    for row in (start(), *(step(n, loss=10.0) for n in range(1, 8))):
        sink.write(row)
    sink.close()
    sink = TensorBoardSink(tmp_path)
    for row in (start(), Resume(step=5, time=1.0), step(6, loss=1.0)):
        sink.write(row)
    sink.close()
    read = [(event.step, event.value) for event in read_back(tmp_path).Scalars("loss/train")]
    assert read == [(1, 10.0), (2, 10.0), (3, 10.0), (4, 10.0), (5, 10.0), (6, 1.0)]


@pytest.fixture
def listener():
    """A web server on this machine, and the requests that reached it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_error(404)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_wandb_offline_writes_files_and_calls_nobody(tmp_path, monkeypatch, listener):
    wandb = pytest.importorskip("wandb")
    address, asked = listener
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    for _ in range(2):  # the second is a resume: a new process of the same run
        sink = WandbSink(tmp_path, "offline")
        for row in (start(), step(1), heldout(1, GAIN)):
            sink.write(row)
        sink.close()
        wandb.teardown()  # as at the end of a process: wandb's own one writes the file, and may lag behind
        records = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
        assert records and all(path.stat().st_size > 500 for path in records)
    run_id = (tmp_path / "wandb" / "run-id").read_text().strip()
    assert {path.stem for path in records} == {f"run-{run_id}"}
    assert asked == []


def test_wandb_disabled_writes_nothing(tmp_path):
    sink = WandbSink(tmp_path, "disabled")
    sink.write(start())
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failing_sink_warns_once_and_the_others_go_on(tmp_path, caplog):
    class Full:
        def write(self, row):
            raise OSError("no space left on device")

        def close(self):
            raise OSError("no space left on device")

    class Kept:
        def __init__(self):
            self.rows = []

        def write(self, row):
            self.rows.append(row)

        def close(self):
            self.rows.append("closed")

    kept = Kept()
    sinks = Sinks([Full(), kept])
    with caplog.at_level(logging.WARNING):
        for row in (start(), step(1)):
            sinks.write(row)
        sinks.close()
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["Full failed"]
    assert len(kept.rows) == 3


def test_an_unknown_wandb_mode_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"observe\.wandb is 'ofline'.*did you mean 'offline'"):
        open_sinks(tmp_path, tensorboard=False, wandb="ofline")
