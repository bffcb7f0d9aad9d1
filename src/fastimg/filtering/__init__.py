"""Separable filters, and the convolutional filters of IBSI 2."""

from ._fir import gaussian, gaussian_kernel, separable
from ._kernels import LAWS, laplacian_of_gaussian, laws, mean
from ._recursive import recursive_laplacian
from ._spectral import gabor, riesz, simoncelli
from ._wavelets import WAVELETS, stationary_wavelet, wavelet, wavelet_filters

__all__ = [
    "LAWS",
    "WAVELETS",
    "gabor",
    "gaussian",
    "gaussian_kernel",
    "laplacian_of_gaussian",
    "laws",
    "mean",
    "recursive_laplacian",
    "riesz",
    "separable",
    "simoncelli",
    "stationary_wavelet",
    "wavelet",
    "wavelet_filters",
]
