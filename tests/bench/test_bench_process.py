"""A child's cost is its own and its descendants', and nobody else's."""

import sys

import pytest

from megatron_heph.bench.process import CommandFailedError, run_measured

SPIN = "import time\nwhile time.process_time() < {}: pass\n"


def test_cpu_of_grandchildren_counts(tmp_path):
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN.format(0.3)!r}], check=True)"
    usage = run_measured([sys.executable, "-c", inner], tmp_path / "log")
    assert 0.3 <= usage.cpu < 1.5
    assert usage.wall >= 0.3


def test_cpu_of_an_earlier_child_does_not(tmp_path):
    run_measured([sys.executable, "-c", SPIN.format(0.5)], tmp_path / "log")
    assert run_measured([sys.executable, "-S", "-c", "pass"], tmp_path / "log").cpu < 0.3


def test_peak_memory_is_the_childs_and_not_ours(tmp_path):
    mine = b"x" * (200 << 20)
    small = run_measured([sys.executable, "-c", "import time; time.sleep(0.2)"], tmp_path / "log")
    code = "import time; b = b'x' * (80 << 20); time.sleep(0.2)"
    large = run_measured([sys.executable, "-c", code], tmp_path / "log")
    assert small.peak_memory < 60 << 20 < len(mine)
    assert 80 << 20 < large.peak_memory < 140 << 20


def test_memory_of_several_processes_is_summed_and_shared_pages_count_once(tmp_path):
    code = "import os, time; b = b'x' * (80 << 20); pid = os.fork(); time.sleep(0.4)"
    shared = run_measured([sys.executable, "-c", code], tmp_path / "log")
    assert 80 << 20 < shared.peak_memory < 140 << 20
    code = "import os, time; pid = os.fork(); b = b'x' * (80 << 20); time.sleep(0.4)"
    each = run_measured([sys.executable, "-c", code], tmp_path / "log")
    assert each.peak_memory > 160 << 20


def test_a_failure_is_told_in_the_childs_last_words(tmp_path):
    with pytest.raises(CommandFailedError, match="exit code 3: no such thing"):
        run_measured([sys.executable, "-c", "import sys; print('no such thing'); sys.exit(3)"], tmp_path / "log")
