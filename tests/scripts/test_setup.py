"""scripts/setup.sh names what is missing, and the package to install, in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import ROOT

TOOLS = ("bash", "cat", "sha256sum", "cut", "dirname", "env")


def run_setup(folder: Path, python: str, *, compiler: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs the script in a copy of the tree that has no .venv, with a PATH of its own and PYTHON as given."""
    tree = folder / "tree"
    for name in ("scripts", "csrc"):
        shutil.copytree(ROOT / name, tree / name)
    for name in ("pyproject.toml", "setup.py"):
        shutil.copyfile(ROOT / name, tree / name)
    commands = folder / "bin"
    commands.mkdir()
    for tool in [*TOOLS, *(["c++"] if compiler else [])]:
        found = shutil.which(tool)
        assert found is not None, tool
        (commands / tool).symlink_to(found)
    variables = {"PATH": str(commands), "HOME": str(folder), "PYTHON": python}
    command = [str(tree / "scripts" / "setup.sh"), "demo"]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)


def python_that_lacks(folder: Path, case: str) -> str:
    """A python whose check of one prerequisite fails and that otherwise is this one."""
    script = folder / "python"
    script.write_text(f'#!{shutil.which("bash")}\ncase "$*" in {case}) exit 1 ;; esac\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("case", "package"), [("*ensurepip*", "python3-venv"), ("-", "python3-dev"), ("*version_info*", "python3")]
)
def test_a_missing_part_of_python_is_named_with_its_package(tmp_path: Path, case: str, package: str) -> None:
    done = run_setup(tmp_path, python_that_lacks(tmp_path, case))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and f"install the package {package} " in done.stderr, done.stderr
    assert not (tmp_path / "tree" / ".venv").exists()


def test_a_missing_compiler_is_named_with_its_package(tmp_path: Path) -> None:
    done = run_setup(tmp_path, sys.executable, compiler=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "install the package g++ " in done.stderr, done.stderr


def test_nothing_is_done_when_all_is_there(tmp_path: Path) -> None:
    """The stamp of this very tree is enough: no python is asked, no package is looked up."""
    stamps = list((ROOT / ".venv").glob(".ready-*"))
    if not stamps:
        pytest.skip("this tree has no .venv of its own")
    extra = stamps[0].name.split("-")[1]
    done = subprocess.run([str(ROOT / "scripts" / "setup.sh"), extra], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stderr == ""
