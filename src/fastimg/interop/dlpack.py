"""Tensors of other libraries, shared without a copy through DLPack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from ..errors import ArgumentError
from ..image import Image
from ._optional import package
from ._ras import other_way

__all__ = ["from_dlpack", "from_torch", "to_monai", "to_torch"]


def from_dlpack(
    tensor: Any, affine: npt.ArrayLike, *, dims: Sequence[str] | None = None, unit: str | None = None
) -> Image:
    """An Image around a tensor of any library that speaks DLPack, sharing its memory.

    Parameters
    ----------
    tensor : object with __dlpack__ and __dlpack_device__
        (..., z, y, x), on the CPU or a CUDA device.
    affine : (4, 4) array_like
        (k, j, i, 1) to LPS mm.
    dims : sequence of str, optional
        Names of all axes when there are leading ones.
    unit : str, optional
        What a voxel value means.

    Returns
    -------
    Image

    Raises
    ------
    ArgumentError
        No DLPack, or a device that is neither CPU nor CUDA.
    """
    if not hasattr(tensor, "__dlpack__") or not hasattr(tensor, "__dlpack_device__"):
        raise ArgumentError(f"from_dlpack: {type(tensor).__name__} does not speak DLPack")
    kind = int(tensor.__dlpack_device__()[0])
    if kind in (1, 3):  # CPU memory, pageable or pinned
        return Image(np.from_dlpack(tensor), affine, dims=dims, unit=unit)
    if kind not in (2, 13):  # CUDA memory, managed or not
        raise ArgumentError(f"from_dlpack: DLPack device kind {kind} is neither CPU nor CUDA")
    from .. import _gpu

    return Image(_gpu.backend().xp.from_dlpack(tensor), affine, dims=dims, unit=unit)


def to_torch(image: Image) -> Any:
    """A torch tensor that shares the image's memory (a copy where torch cannot hold it: read-only or flipped arrays).

    The tensor has the array's axes (..., z, y, x); geometry stays with the image.

    Parameters
    ----------
    image : Image
        On the CPU or a GPU.

    Returns
    -------
    torch.Tensor

    Raises
    ------
    MissingError
        torch is not installed.
    """
    torch = package("torch", "torch")
    array = image.array
    if _dispatch.device(array) == "cpu":
        fit = array.flags.writeable and array.dtype.isnative and all(step >= 0 for step in array.strides)
        return torch.from_numpy(array if fit else np.array(array, array.dtype.newbyteorder("=")))
    return torch.from_dlpack(array)


def from_torch(
    tensor: Any, affine: npt.ArrayLike, *, dims: Sequence[str] | None = None, unit: str | None = None
) -> Image:
    """An Image that shares a torch tensor's memory; see `from_dlpack`. Gradients are left behind.

    Parameters
    ----------
    tensor : torch.Tensor
        (..., z, y, x), on the CPU or a CUDA device.
    affine, dims, unit
        As for `from_dlpack`.

    Returns
    -------
    Image
    """
    return from_dlpack(tensor.detach(), affine, dims=dims, unit=unit)


def to_monai(image: Image) -> Any:
    """A MONAI MetaTensor, channel first: (channel, x, y, z), with MONAI's RAS affine.

    Parameters
    ----------
    image : Image
        (z, y, x), which gets one channel, or (channel, z, y, x).

    Returns
    -------
    monai.data.MetaTensor
        It shares the image's memory where `to_torch` does.

    Raises
    ------
    ArgumentError
        More leading axes.
    MissingError
        MONAI or torch is not installed.
    """
    monai = package("monai.data", "monai")
    tensor = to_torch(image)
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4:
        raise ArgumentError(f"to_monai: at most one leading axis can become channels, got dims {image.dims}")
    return monai.MetaTensor(tensor.permute(0, 3, 2, 1), affine=other_way(image.affine))
