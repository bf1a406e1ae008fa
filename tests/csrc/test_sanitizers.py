"""The fuzz programs of csrc/fuzz under AddressSanitizer, UBSan and ThreadSanitizer, for some seconds.

`make sanitize` runs them longer (docs/native.md).
"""

import functools
import os
import shutil
import subprocess
import tempfile

import pytest
from support.processes import ROOT

FUZZ = ROOT / "csrc" / "fuzz"
OUT = ROOT / "build" / "sanitize"
ROUNDS = {
    "fuzz_json": 30000, "fuzz_order": 5000, "fuzz_pack": 400, "fuzz_reader": 100, "fuzz_writer": 300,
    "fuzz_threads": 30,
}  # fmt: skip
PROGRAMS = sorted(path.stem for path in FUZZ.glob("fuzz_*.cpp"))
SHARING = ("fuzz_threads", "fuzz_bpe", "fuzz_pack", "fuzz_reader")      # whose subject is shared by threads
CASES = [("address", name) for name in PROGRAMS if name != "fuzz_threads"]
CASES += [("thread", name) for name in PROGRAMS if name.startswith(SHARING)]


@functools.cache
def _missing(sanitizer):
    """Why this machine's compiler cannot build with a sanitizer; empty if it can."""
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler) or not shutil.which("make"):
        return f"there is no {compiler} or no make"
    with tempfile.TemporaryDirectory() as folder:
        command = [compiler, "-x", "c++", "-", f"-fsanitize={sanitizer}", "-o", f"{folder}/probe"]
        probe = subprocess.run(command, input="int main() {}", text=True, capture_output=True)
    if probe.returncode == 0:
        return ""
    return f"{compiler} has no {sanitizer} sanitizer here: {probe.stderr.strip().splitlines()[-1]}"


@pytest.mark.parametrize(("sanitizer", "program"), CASES)
def test_no_sanitizer_finds_anything(sanitizer, program):
    if reason := _missing(sanitizer):
        pytest.skip(reason)
    target = OUT / sanitizer / program
    subprocess.run(["make", "-s", "-C", str(FUZZ), f"OUT={OUT}", str(target)], check=True)
    rounds = [str(ROUNDS[program])] if program in ROUNDS else []
    ran = subprocess.run([str(target), *rounds], text=True, capture_output=True, timeout=300)
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("the kernel's address randomization is too wide for ThreadSanitizer: vm.mmap_rnd_bits=28 helps")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "rounds" in ran.stdout
