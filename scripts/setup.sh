#!/usr/bin/env bash
# Makes .venv with everything that `make demo` (setup.sh demo) or `make test` (setup.sh dev) needs.
# Does nothing when that is already there.  Variables: PYTHON, and TORCH_INDEX_URL for another build of torch.
set -euo pipefail
cd "$(dirname "$0")/.."
extra=${1:?usage: setup.sh demo|dev}
torch_version=2.13.0
venv=.venv

fail() { echo "setup: $*" >&2; exit 2; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true): install the package python3 (Debian 12, Ubuntu 24.04), or set PYTHON."
}

check_prerequisites() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null || fail "Python's venv module is missing: install the package python3-venv (sudo apt-get install python3-venv)."
    command -v "${CXX:-c++}" >/dev/null || fail "a C++ compiler is missing: install the package g++ (sudo apt-get install g++)."
    "$1" - <<'PY' || fail "Python.h is missing: install the package python3-dev (sudo apt-get install python3-dev)."
import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file())
PY
}

install_torch() {
    "$venv/bin/python" -c 'import torch' 2>/dev/null && return
    if [ -n "${TORCH_INDEX_URL:-}" ]; then
        "$venv/bin/pip" install --quiet "torch==$torch_version" --index-url "$TORCH_INDEX_URL"
        return
    fi
    if ! command -v nvidia-smi >/dev/null && "$venv/bin/pip" install --dry-run --quiet --report - "torch==$torch_version" 2>/dev/null | grep -q '"name": "nvidia-'; then
        echo "setup: this machine has no GPU, but the default package index brings torch with CUDA (several GB)." >&2
        echo "setup: for the small one stop here and say: make ... TORCH_INDEX_URL=<the CPU index that PyTorch's 'Get Started' page shows>" >&2
    fi
    "$venv/bin/pip" install --quiet "torch==$torch_version"
}

# The tests also run on the other end of the supported megatron-core: the one that pip does not choose here.
install_other_megatron() {
    local installed other
    installed=$("$venv/bin/python" -c 'import importlib.metadata as m; print(m.version("megatron-core"))')
    case $installed in 0.16.*) other=0.19.2 ;; *) other=0.16.1 ;; esac
    "$venv/bin/pip" install --quiet --no-deps --ignore-requires-python --upgrade \
        --target "$venv/other-megatron" "megatron-core==$other"
}

# Real tokenizers under the Apache licence, for the tests; only their files are used, so nothing they depend on.
install_test_tokenizers() {
    "$venv/bin/pip" install --quiet --no-deps --upgrade --target "$venv/test-tokenizers" \
        "mistral-common==1.13.1" "dashscope==2.0.2"
}

python=$(find_python)
stamp=$venv/.ready-$extra-$(cat pyproject.toml setup.py scripts/setup.sh csrc/data/* | sha256sum | cut -c1-16)
[ -f "$stamp" ] && exit 0
check_prerequisites "$python"
echo "setup: making $venv ($extra) with $("$python" --version); this happens once" >&2
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv" || fail "the virtual environment could not be made: see above."
export PIP_DISABLE_PIP_VERSION_CHECK=1
install_torch
"$venv/bin/pip" install --quiet --editable ".[$extra]"
if [ "$extra" != demo ]; then
    install_other_megatron
    install_test_tokenizers
fi
rm -f "$venv"/.ready-"$extra"-*
touch "$stamp"
