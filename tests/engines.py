"""Executors of others that tests hand to map, ingest and run."""

from __future__ import annotations

import gc
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import pytest

import fastimg as fi


@contextmanager
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as pool:
        yield pool


@contextmanager
def loky():
    pytest.importorskip("loky", reason="loky is not installed")
    with fi.cohort.open_executor("loky", workers=2) as pool:
        yield pool


@contextmanager
def dask():
    """Where a worker is killed while Dask connects to it, Dask drops the socket unclosed: it is collected in here."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <ssl.SSLSocket", ResourceWarning)
        with fi.cohort.open_executor("dask", workers=2) as pool:
            yield pool
        gc.collect()
