"""The codecs of DICOM, series by series, beside the bare codec of imagecodecs and pydicom with it."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from series_maker import CODECS, SIZE, SLICES, ours, over_16_bits, series_in, with_pydicom

import fastimg as fi


def _codec_cases(name):
    syntax, encode, decoder = CODECS[name]
    decode = getattr(imagecodecs, decoder)
    count = SLICES if name == "HTJ2K" else 24  # as many as make the work on each series small beside the codec's
    group = f"dicom: {count} {name} slices to a float32 volume"
    two = f"{group}, 2 threads (codec alone: 1)"

    def case_of(case, room, volume):
        volume = wide(volume)
        ours(case, series_in(room, name, volume, syntax, encode), volume)

    def wide(volume):
        return over_16_bits(volume[:count]) if name.endswith("16-bit") else volume[:count]

    @pytest.mark.benchmark(group=group)
    def ours_case(case, one_thread, room, volume):
        case_of(case, room, volume)

    @pytest.mark.benchmark(group=two)
    def ours_two(case, room, volume):
        with fi.config.use(threads=2):
            case_of(case, room, volume)

    def codec_of(case, volume):
        packed = [encode(pixels) for pixels in wide(volume)]
        room = np.empty((SIZE, SIZE), np.uint16)  # used again: new ones would cost page faults

        def work():
            for data in packed:
                decode(data, out=room)

        case(work, tool="imagecodecs (codec only)", items=count, unit="slice", rounds=5)

    @pytest.mark.benchmark(group=group)
    def bare_codec(case, volume):
        codec_of(case, volume)

    @pytest.mark.benchmark(group=two)
    def bare_codec_two(case, volume):
        codec_of(case, volume)

    @pytest.mark.benchmark(group=group)
    def pydicom_imagecodecs(case, room, volume):
        folder = series_in(room, name, wide(volume), syntax, encode)
        case(lambda: with_pydicom(folder, decode), tool="pydicom + imagecodecs", items=count, unit="slice", rounds=3)

    return ours_case, ours_two, bare_codec, bare_codec_two, pydicom_imagecodecs


bench_sv1, bench_sv1_two, bench_sv1_codec, bench_sv1_codec_two, bench_sv1_pydicom = _codec_cases("JPEG lossless")
bench_sv1_16, bench_sv1_16_two, bench_sv1_16_codec, bench_sv1_16_codec_two, bench_sv1_16_pydicom = _codec_cases(
    "JPEG lossless 16-bit"
)
bench_jls, bench_jls_two, bench_jls_codec, bench_jls_codec_two, bench_jls_pydicom = _codec_cases("JPEG-LS")
bench_htj2k, bench_htj2k_two, bench_htj2k_codec, bench_htj2k_codec_two, bench_htj2k_pydicom = _codec_cases("HTJ2K")
bench_j2k, bench_j2k_two, bench_j2k_codec, bench_j2k_codec_two, bench_j2k_pydicom = _codec_cases("JPEG 2000")
