// RLE lossless (PS3.5 annex G): byte planes, each in PackBits.
#pragma once

#include <cstdint>
#include <vector>

#include "dicom/bytes.hpp"

namespace fastimg::dicom {

// One frame of `pixels` pixels into `out`, sample-interleaved, little endian. Null, or what is wrong. Never reads past
// `size` nor writes past pixels * samples * sample_bytes; a segment that ends early leaves an error, not old bytes.
const char* rle_frame(const Byte* in, std::uint64_t size, std::uint64_t pixels, unsigned samples, unsigned sample_bytes,
                      Byte* out, std::vector<Byte>& plane_room);

}  // namespace fastimg::dicom
