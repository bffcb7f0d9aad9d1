"""MONAI transforms over fastimg's kernels, on MetaTensors and on dictionaries of them.

`Resample`, `Window`, `ZScore` take a channel-first MetaTensor on the CPU and return one; `Resampled`, `Windowd`, `ZScored` do so for
the keys of a dictionary. Importing this module imports MONAI and torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import MissingError
from ..image import Image
from ._ras import other_way
from .dlpack import to_monai

try:
    from monai.transforms.transform import MapTransform, Transform
except ImportError as error:
    missing = MissingError("monai is not installed: pip install monai")
    missing.name = error.name
    raise missing from error

__all__ = ["Resample", "Resampled", "Window", "Windowd", "ZScore", "ZScored"]


def _image(tensor: Any) -> Image:
    """The Image of a channel-first MetaTensor (channel, x, y, z)."""
    array = np.ascontiguousarray(np.asarray(tensor.cpu()).transpose(0, 3, 2, 1))
    affine = other_way(tensor.affine)
    return Image(array, affine, dims=("channel", "z", "y", "x"))


class _Kernel(Transform):
    def __call__(self, tensor: Any) -> Any:
        image = _image(tensor)
        return to_monai(self._apply(image))

    def _apply(self, image: Image) -> Image:
        raise NotImplementedError

    def _each_channel(self, image: Image, work: Callable[[Any], Any]) -> Image:
        return image.with_array(np.stack([work(channel) for channel in image.array]))


class Resample(_Kernel):
    """`fi.resample`: MONAI's `Spacing` by fastimg.

    Parameters
    ----------
    pixdim : (x, y, z), mm
        In MONAI's order.
    **options
        Of `fi.resample`: order, antialias, rounding, cval, half_pixel.
    """

    def __init__(self, pixdim: Sequence[float], **options: Any) -> None:
        self.spacing, self.options = tuple(pixdim)[::-1], options

    def _apply(self, image: Image) -> Image:
        from ..resampling import resample

        return resample(image, spacing=self.spacing, **self.options)


class Window(_Kernel):
    """`fi.harmonize.window`: clip to [low, high] and scale to [0, 1].

    Parameters
    ----------
    low, high : float
        In the image's unit; low is less than high.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def _apply(self, image: Image) -> Image:
        from ..harmonize import window

        return self._each_channel(image, lambda channel: window(channel, low=self.low, high=self.high))


class ZScore(_Kernel):
    """`fi.harmonize.zscore` of each channel."""

    def _apply(self, image: Image) -> Image:
        from ..harmonize import zscore

        return self._each_channel(image, zscore)


class _Keys(MapTransform):
    kernel: type[_Kernel]

    def __init__(self, keys: Any, *arguments: Any, allow_missing_keys: bool = False, **options: Any) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = self.kernel(*arguments, **options)

    def __call__(self, data: Any) -> dict[Any, Any]:
        made = dict(data)
        for key in self.key_iterator(made):
            made[key] = self.transform(made[key])
        return made


class Resampled(_Keys):
    """`Resample` for the keys of a dictionary.

    Parameters
    ----------
    keys : str or sequence of str
        Whose entries are transformed; the others stay.
    *arguments, **options
        As for `Resample`.
    allow_missing_keys : bool
        Pass over keys that the dictionary lacks. Default: a KeyError.
    """

    kernel = Resample


class Windowd(_Keys):
    """`Window` for the keys of a dictionary.

    Parameters
    ----------
    keys : str or sequence of str
        Whose entries are transformed; the others stay.
    *arguments, **options
        As for `Window`.
    allow_missing_keys : bool
        Pass over keys that the dictionary lacks. Default: a KeyError.
    """

    kernel = Window


class ZScored(_Keys):
    """`ZScore` for the keys of a dictionary.

    Parameters
    ----------
    keys : str or sequence of str
        Whose entries are transformed; the others stay.
    *arguments, **options
        None: `ZScore` takes no parameters.
    allow_missing_keys : bool
        Pass over keys that the dictionary lacks. Default: a KeyError.
    """

    kernel = ZScore
