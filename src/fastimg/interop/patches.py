"""Patches of a cohort for training: a data set for torch's DataLoader and MONAI, and batches straight to where they go."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..cohort import Cohort, Sampler
from ..errors import ArgumentError
from ..image import Image
from ._optional import package
from .dlpack import to_monai

if TYPE_CHECKING:
    from ..cohort import Place

__all__ = ["PatchDataset"]


class PatchDataset:
    """A map-style data set of `n` random patches of a cohort: seeded, balanced by masks, on several levels.

    Patch k depends on seed, epoch and k alone. So DataLoader workers and distributed samplers share an epoch without a
    word to each other: each index is drawn once, and the patches are the same for any number of ranks and workers.
    Call `set_epoch` at the start of each; with persistent workers, which keep the copy they were given, begin anew.

    Parameters
    ----------
    cohort : Cohort or path
    size : (z, y, x)
    n : int
        Patches of an epoch.
    seed : int
    masked, balance, levels, states
        As in `fastimg.cohort.draw_patches`.
    dtype : str, optional
        Of image tensors, e.g. "float32"; default: as stored.
    form : "torch" or "monai"
        Tensors (channel, z, y, x), or MONAI's MetaTensors (channel, x, y, z) with their affines.
    transform : callable, optional
        Takes and returns a sample; MONAI's transforms of dictionaries fit.

    Notes
    -----
    A sample is a dict: "image" (channel, z, y, x), with `masked` "mask" (mask, z, y, x), for each further level N
    "image_N" and "mask_N", "case_id" and "start" (z, y, x). Leading axes of the image are its channels. Memory: a patch,
    and up to 256 MB of positions of masks, a worker.

    Examples
    --------
    >>> import numpy as np, fastimg as fi, tempfile
    >>> c = fi.Cohort.create(tempfile.mkdtemp() + "/cohort")
    >>> _ = c.add("a", fi.Image(np.arange(4096, dtype=np.int16).reshape(16, 16, 16)))
    >>> patches = fi.interop.PatchDataset(c, (8, 8, 8), 100, seed=1)
    >>> len(patches)
    100
    """

    def __init__(
        self,
        cohort: Cohort | str | os.PathLike[str],
        size: Sequence[int],
        n: int,
        *,
        seed: int = 0,
        masked: str | Sequence[str] | None = None,
        balance: float = 1.0,
        levels: Sequence[int] = (0,),
        states: Sequence[str] = ("ok", "warned"),
        dtype: str | None = None,
        form: Literal["torch", "monai"] = "torch",
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        if n < 1:
            raise ArgumentError(f"n: must be positive, got {n!r}")
        if form not in ("torch", "monai"):
            raise ArgumentError(f"form: must be 'torch' or 'monai', got {form!r}")
        self._address = (cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)).address
        self._options = {
            "size": tuple(size),
            "seed": seed,
            "masked": masked,
            "balance": balance,
            "levels": tuple(levels),
            "states": tuple(states),
        }
        self._n, self._dtype, self._form, self._transform = (
            n,
            None if dtype is None else np.dtype(dtype),
            form,
            transform,
        )
        self._epoch = 0
        self._drawn: Sampler | None = None
        self._sampler()  # what is wrong is told here, not in a worker

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_drawn": None}  # a worker opens the cohort itself

    def __len__(self) -> int:
        return self._n

    def set_epoch(self, epoch: int) -> None:
        """Draw other patches: those of this epoch. Raises ArgumentError for a negative one."""
        if epoch < 0:
            raise ArgumentError(f"epoch: must not be negative, got {epoch!r}")
        self._epoch = epoch

    def __getitem__(self, number: int) -> Any:
        if not -self._n <= number < self._n:
            raise IndexError(number)
        torch, sampler = package("torch", "torch"), self._sampler()
        place = sampler.place(int(number) % self._n, self._epoch)
        sample: dict[str, Any] = {"case_id": place.case.case_id, "start": torch.tensor(place.starts[sampler.levels[0]])}
        for at, level in enumerate(sampler.levels):
            end = f"_{level}" if at else ""
            image = self._channels(sampler.read(place, level, threads=1))
            sample[f"image{end}"] = self._made(torch, image, place, level)
            mask = sampler.mask(place, level, threads=1)
            if mask is not None:
                sample[f"mask{end}"] = self._made(torch, self._masks(mask), place, level)
        return sample if self._transform is None else self._transform(sample)

    def batches(
        self,
        size: int,
        *,
        device: Any = None,
        rank: int | None = None,
        ranks: int | None = None,
        threads: int | None = None,
        ahead: int = 2,
        drop_last: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Batches of this epoch, decoded by threads of this process into pinned memory and sent to a device as they fill.

        No worker process, no copy in between: a chunk is decoded into its place in the batch. All cases must have the same
        number of channels and, without `dtype`, the same type.

        Parameters
        ----------
        size : int
            Patches of a batch.
        device : torch.device or str, optional
            Where batches go. On a CUDA device the copy runs beside the caller's work, on a stream of its own. Default: host
            memory, pinned where CUDA is.
        rank, ranks : int, optional
            Of the distributed group that shares the epoch; default: torch.distributed's if it is initialised, else 0 of 1.
            Rank r takes patches r, r + ranks ...
        threads : int, optional
            Default: `config.threads()`.
        ahead : int
            Batches prepared before they are asked for.
        drop_last : bool
            Leave out what does not fill a batch on every rank.

        Yields
        ------
        dict of tensors

        Raises
        ------
        ArgumentError
            `size` or `ahead` below 1, or a dataset with `form` or transforms.
        """
        torch = package("torch", "torch")
        if size < 1 or ahead < 1:
            raise ArgumentError(f"size and ahead: must be positive, got {size!r} and {ahead!r}")
        if self._form != "torch" or self._transform is not None:
            raise ArgumentError("batches: gives plain tensors; use a DataLoader for form='monai' and transforms")
        here, count = _group(torch, rank, ranks)
        numbers = range(here, self._n, count)
        if drop_last:
            numbers = numbers[: self._n // count // size * size]
        return self._batches(torch, numbers, size, device, threads, ahead)

    def _batches(
        self, torch: Any, numbers: range, size: int, device: Any, threads: int | None, ahead: int
    ) -> Iterator[dict[str, Any]]:
        from .. import config

        place = torch.device(device) if device is not None else torch.device("cpu")
        pinned = torch.cuda.is_available()
        stream = torch.cuda.Stream(place) if place.type == "cuda" else None
        sampler, epoch = self._sampler(), self._epoch

        def one(batch: dict[str, Any], at: int, spot: Place) -> None:
            for index, level in enumerate(sampler.levels):
                end = f"_{level}" if index else ""
                into = batch[f"image{end}"].numpy()[at]
                fits = into.dtype == spot.case.dtype
                lead = spot.case.shape[:-3]
                if into.shape[0] != int(np.prod(lead)) or (self._dtype is None and not fits):
                    raise ArgumentError(f"batches: case {spot.case.case_id} has other channels or another type")
                if fits:
                    sampler.read(spot, level, out=into.reshape(*lead, *sampler.size), threads=1)
                else:
                    into[...] = self._channels(sampler.read(spot, level, threads=1))
                mask = sampler.mask(spot, level, threads=1)
                if mask is not None:
                    if mask.dtype != np.uint8:
                        raise ArgumentError(f"batches: a mask of case {spot.case.case_id} is {mask.dtype}, not uint8")
                    batch[f"mask{end}"].numpy()[at] = self._masks(mask)

        def begun(part: range) -> tuple[dict[str, Any], list[Future[None]]]:
            spots = [sampler.place(number, epoch) for number in part]
            case = spots[0].case
            kind = _torch_type(torch, self._dtype or case.dtype)
            channels, side = int(np.prod(case.shape[:-3])), sampler.size
            batch: dict[str, Any] = {"case_id": [spot.case.case_id for spot in spots]}
            batch["start"] = torch.tensor([spot.starts[sampler.levels[0]] for spot in spots])
            for index, level in enumerate(sampler.levels):
                end = f"_{level}" if index else ""
                batch[f"image{end}"] = torch.empty((len(spots), channels, *side), dtype=kind, pin_memory=pinned)
                if sampler.names:
                    shape = (len(spots), len(sampler.names), *side)
                    batch[f"mask{end}"] = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
            return batch, [pool.submit(one, batch, at, spot) for at, spot in enumerate(spots)]

        def sent(batch: dict[str, Any]) -> dict[str, Any]:
            if place.type == "cpu":
                return batch
            if stream is None:
                return {k: v.to(place) if hasattr(v, "to") else v for k, v in batch.items()}
            with torch.cuda.stream(stream):
                there = {k: v.to(place, non_blocking=True) if hasattr(v, "to") else v for k, v in batch.items()}
            current = torch.cuda.current_stream(place)
            current.wait_stream(stream)
            for value in there.values():
                if hasattr(value, "record_stream"):
                    value.record_stream(current)
            return there

        parts = deque(numbers[at : at + size] for at in range(0, len(numbers), size))
        with ThreadPoolExecutor(threads or config.threads()) as pool:
            waiting: deque[tuple[dict[str, Any], list[Future[None]]]] = deque()
            try:
                while parts or waiting:
                    while parts and len(waiting) < ahead:
                        waiting.append(begun(parts.popleft()))
                    batch, reads = waiting.popleft()
                    for read in reads:
                        read.result()
                    yield sent(batch)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _sampler(self) -> Sampler:
        if self._drawn is None:
            self._drawn = Sampler(Cohort.open(self._address[0], options=self._address[1]), **self._options)  # type: ignore[arg-type]
        return self._drawn

    def _channels(self, array: Any) -> Any:
        array = array.reshape(-1, *array.shape[-3:])
        return array if self._dtype is None else array.astype(self._dtype, copy=False)

    def _masks(self, mask: Any) -> Any:
        kind = {"uint16": np.int32, "uint32": np.int64}.get(mask.dtype.name, mask.dtype)  # torch computes with these
        return mask.reshape(-1, *mask.shape[-3:]).astype(kind, copy=False)

    def _made(self, torch: Any, array: Any, place: Place, level: int) -> Any:
        if self._form == "torch":
            return torch.from_numpy(array)
        return to_monai(Image(array, place.affine(level), dims=("channel", "z", "y", "x")))


def _group(torch: Any, rank: int | None, ranks: int | None) -> tuple[int, int]:
    if (rank is None) != (ranks is None):
        raise ArgumentError("rank and ranks: give both or none")
    if rank is None or ranks is None:
        own = torch.distributed
        if not (own.is_available() and own.is_initialized()):
            return 0, 1
        return own.get_rank(), own.get_world_size()
    if not 0 <= rank < ranks:
        raise ArgumentError(f"rank: must be from 0 to ranks - 1, got {rank!r} of {ranks!r}")
    return rank, ranks


def _torch_type(torch: Any, dtype: Any) -> Any:
    return torch.from_numpy(np.empty(0, dtype)).dtype
