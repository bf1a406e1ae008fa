"""Builds the C++ of csrc/data into `megatron_heph._native`; pyproject.toml has the metadata."""

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

ParallelCompile("HEPH_BUILD_JOBS").install()

setup(
    ext_modules=[
        Pybind11Extension(
            "megatron_heph._native",
            sorted(["csrc/data/module.cpp", "csrc/data/indexed_writer.cpp", "csrc/data/jsonl.cpp"]),
            include_dirs=["csrc/data"],
            depends=["csrc/data/indexed_writer.h", "csrc/data/jsonl.h"],
            cxx_std=17,
            extra_compile_args=["-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
        )
    ],
    cmdclass={"build_ext": build_ext},
)
