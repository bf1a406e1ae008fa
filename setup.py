"""Builds the C++ of csrc/data into `megatron_heph._native`; pyproject.toml has the metadata."""

from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

ParallelCompile("HEPH_BUILD_JOBS").install()

setup(
    ext_modules=[
        Pybind11Extension(
            "megatron_heph._native",
            sorted(str(path) for path in Path("csrc/data").glob("*.cpp")),
            include_dirs=["csrc/data"],
            depends=sorted(str(path) for path in Path("csrc/data").glob("*.h")),
            cxx_std=17,
            extra_compile_args=["-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
        )
    ],
    cmdclass={"build_ext": build_ext},
)
