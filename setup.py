"""The extensions of fastimg and their flags; everything else is in pyproject.toml."""

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob

import pybind11
from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

# Contraction off: the same bits at every ISA level, on every machine and on the GPU (docs/design/architecture.md).
FLAGS = [
    *("-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fvisibility=hidden", "-g0", "-Wall", "-Wno-psabi", "-pthread"),
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


EXTENSIONS = [  # the slowest first
    extension("resampling._native", "resampling.cpp", "resampling"),
    extension("radiomics._native", "radiomics.pyx", "radiomics"),
    extension("dicom._native", "dicom.cpp", "dicom"),
    extension("harmonize._native", "harmonize.pyx", "harmonize"),
    extension("histogram._native", "histogram.pyx", "histogram"),
    extension("secagg._native", "secagg.cpp", "secagg"),
    extension("cohort._native", "cohort.cpp", "cohort"),
    extension("filtering._native", "filtering.pyx", "filtering"),
    extension("_core", "core.cpp", "cpu"),
    extension("labels._native", "labels.pyx", "labels"),
]
EXTENSIONS = [e for e in EXTENSIONS if os.path.exists(e.sources[0])]


class Build(build_ext):
    """All files of all extensions share one queue, the slowest first, so that no core waits at the end of an extension.

    Bindings hand arguments on: at -O1 they take half the time to compile, and no kernel is slower. Objects stay in the
    tree, where an editable install would drop them: tests/kernels/test_levels.py looks into them.
    """

    def finalize_options(self):
        super().finalize_options()
        self.build_temp = f"build/objects-{sys.implementation.cache_tag}-{platform.machine()}"

    def build_extensions(self):
        cores = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

        def compile_all(sources, output_dir, macros, include_dirs, debug, extra_postargs, depends, extra_preargs=None):
            its = self.compiler
            _, objects, extra, pp_opts, build = its._setup_compile(
                output_dir, macros, include_dirs, sources, depends, extra_postargs
            )
            cc_args = its._get_cc_args(pp_opts, debug, extra_preargs)

            def one(obj):
                source, suffix = build[obj]
                own = [*extra, "-O1"] if "/bind/" in source else extra
                its._compile(obj, source, suffix, cc_args, own, pp_opts)

            list(cores.map(one, [obj for obj in objects if obj in build]))  # the list raises what a file raised
            return objects

        self.compiler.compile = compile_all
        self.parallel = len(self.extensions)  # each has a thread that waits for its files
        super().build_extensions()


setup(
    cmdclass={"build_ext": Build},
    ext_modules=cythonize(EXTENSIONS, build_dir="build/cython", language_level=3),
    packages=[*find_packages("src"), "fastimg._kernels"],  # kernels/ travels inside the package: _gpu compiles it there
    package_dir={"": "src", "fastimg._kernels": "kernels"},
)
