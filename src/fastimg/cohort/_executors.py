"""Engines by name: processes, loky, a dask cluster with workers pinned to devices, MPI."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from .. import _workers, config
from ..errors import ArgumentError, MissingError

__all__ = ["open_executor"]

_NAMES = ("processes", "loky", "dask", "dask:ADDRESS", "mpi")


@contextmanager
def open_executor(
    name: str, *, workers: int | None = None, devices: Sequence[str] | Literal["all"] | None = None
) -> Iterator[Executor]:
    """An executor for `Cohort.map`, `ingest`, `run` and `measure_features`; closed at the end of the block.

    Parameters
    ----------
    name : str
        "processes": own ones. "loky": its reusable pool. "dask": a cluster on this machine; "dask:ADDRESS": one that
        runs, e.g. dask:tcp://host:8786. "mpi": the ranks of a job begun with `mpiexec -n N python -m mpi4py.futures`.
    workers : int, optional
        Where they are started here. Default: one for each device, or the cores this process may use.
    devices : "all" or names of CUDA devices, optional
        One worker for each, which sees that device alone: for "processes", and for "dask" (with dask-cuda where it is
        installed). A cluster that runs has its own pins.

    Yields
    ------
    Executor

    Raises
    ------
    MissingError
        With the command that installs what lacks.
    ArgumentError
        An unknown name, workers below 1, or devices where they cannot be pinned.

    Examples
    --------
    >>> import fastimg as fi
    >>> with fi.cohort.open_executor("processes", workers=1) as pool:
    ...     pool.submit(pow, 2, 5).result()
    32
    """
    kind, _, address = name.partition(":")
    if kind not in ("processes", "loky", "dask", "mpi") or (address and kind != "dask"):
        raise ArgumentError(f"executor: must be one of {', '.join(_NAMES)}; got {name!r}")
    pins = _workers.devices_of(devices)
    if pins and (kind not in ("processes", "dask") or address):
        raise ArgumentError(f"devices: workers of {name!r} cannot be pinned from here")
    count = workers or len(pins) or len(os.sched_getaffinity(0))
    if count < 1 or (pins and count != len(pins)):
        raise ArgumentError(f"workers: must be positive, one for each device if there are devices; got {workers!r}")
    with ExitStack() as stack:
        if kind == "processes":
            pool: Any = _workers.own_pool(count, threads=max(1, config.threads() // count), devices=pins)
            stack.callback(pool.shutdown, cancel_futures=True)
        elif kind == "loky":
            pool = _package("loky", "loky").get_reusable_executor(max_workers=count)
            stack.callback(lambda: _package("loky", "loky").get_reusable_executor(max_workers=count).shutdown())
        elif kind == "mpi":
            pool = stack.enter_context(_package("mpi4py.futures", "mpi4py").MPIPoolExecutor())
        else:
            pool = _dask(stack, address, count, pins)
        yield pool


def _package(module: str, install: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingError(f"executor: {install} is not installed: pip install {install}") from error


def _dask(stack: ExitStack, address: str, count: int, pins: Sequence[str]) -> Executor:
    distributed = _package("distributed", "'fastimg[dask]'")
    if not address:  # a worker that is away for 15 s, because it dies again and again, would never be started again
        stack.enter_context(_package("dask", "dask").config.set({"distributed.deploy.lost-worker-timeout": "1 day"}))
    there: Any = address or stack.enter_context(_dask_cluster(distributed, count, pins))
    client = stack.enter_context(distributed.Client(there, set_as_default=False))
    return client.get_executor()


def _dask_cluster(distributed: Any, count: int, pins: Sequence[str]) -> Any:
    """A process for each worker, one thread in it, restarted by its nanny when it dies.

    Certificates of its own keep other users of the machine out: whoever reaches a scheduler can run code as its user.
    """
    security = distributed.Security.temporary()
    if pins and find_spec("dask_cuda") is not None:
        return import_module("dask_cuda").LocalCUDACluster(
            CUDA_VISIBLE_DEVICES=",".join(pins), threads_per_worker=1, dashboard_address=None, security=security
        )
    common = {"protocol": "tls://", "security": security, "dashboard": False}
    options = {**common, "nthreads": 1, "silence_logs": logging.CRITICAL}
    workers = {
        n: {
            "cls": distributed.Nanny,
            "options": {**options, "env": {"CUDA_VISIBLE_DEVICES": pins[n]} if pins else {}},
        }
        for n in range(count)
    }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {
            **common,
            "host": "127.0.0.1",
            "port": 0,
            "dashboard_address": "127.0.0.1:0",
            "allowed_failures": 1,
        },
    }
    return distributed.SpecCluster(
        workers=workers, scheduler=scheduler, name="fastimg", silence_logs=logging.CRITICAL, security=security
    )
