"""The extensions of fastimg and their flags; everything else is in pyproject.toml."""

import os
from glob import glob

import pybind11
from Cython.Build import cythonize
from pybind11.setup_helpers import ParallelCompile
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

# Contraction off: the same bits at every ISA level, on every machine and on the GPU (docs/design/architecture.md).
FLAGS = [
    *("-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fvisibility=hidden", "-g0", "-Wall", "-pthread"),
]


def extension(module: str, bind: str, folder: str) -> Extension:
    """One compiled module: its binding and all C++ files of its domain's folder."""
    headers = [f"csrc/{folder}/*.hpp", "csrc/cpu/*.hpp", "csrc/bind/*.hpp", "csrc/bind/*.pxi", "kernels/fastimg/*.cuh"]
    return Extension(
        f"fastimg.{module}",
        [f"csrc/bind/{bind}", *sorted(glob(f"csrc/{folder}/*.cpp"))],  # the slowest first, so that no core waits for it
        include_dirs=["csrc", "kernels", pybind11.get_include()],
        depends=[path for pattern in headers for path in glob(pattern)],
        define_macros=[("CYTHON_USE_MODULE_STATE", "0")],
        extra_compile_args=FLAGS,
        extra_link_args=["-pthread"],
        language="c++",
    )


EXTENSIONS = [
    extension("_core", "core.cpp", "cpu"),
    extension("histogram._native", "histogram.pyx", "histogram"),
    extension("resampling._native", "resampling.cpp", "resampling"),
    extension("filtering._native", "filtering.pyx", "filtering"),
    extension("labels._native", "labels.pyx", "labels"),
    extension("dicom._native", "dicom.cpp", "dicom"),
    extension("harmonize._native", "harmonize.pyx", "harmonize"),
    extension("radiomics._native", "radiomics.pyx", "radiomics"),
    extension("secagg._native", "secagg.cpp", "secagg"),
    extension("cohort._native", "cohort.cpp", "cohort"),
]
EXTENSIONS = [e for e in EXTENSIONS if os.path.exists(e.sources[0])]


class Build(build_ext):
    """Bindings hand arguments on: at -O1 they take half the time to compile, and no kernel is slower."""

    def build_extensions(self):
        full = self.compiler._compile

        def lighter(obj, source, ext, cc_args, extra, pp_opts):
            full(obj, source, ext, cc_args, [*extra, "-O1"] if "/bind/" in source else extra, pp_opts)

        self.compiler._compile = lighter
        super().build_extensions()


ParallelCompile(default=os.cpu_count() or 1).install()
setup(
    cmdclass={"build_ext": Build},
    ext_modules=cythonize(EXTENSIONS, build_dir="build/cython", language_level=3),
    packages=[*find_packages("src"), "fastimg._kernels"],  # kernels/ travels inside the package: _gpu compiles it there
    package_dir={"": "src", "fastimg._kernels": "kernels"},
)
