// Encapsulated pixel data (PS3.5 annex A.4): which bytes of a file make which frame.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dicom/source.hpp"

namespace fastimg::dicom {

struct Span {
  std::uint64_t offset, length;  // in the source
};

// The fragments of each frame, by the extended offset table, else the basic one, else (none, or one that
// does not fit) by counting: as many fragments as
// frames; one frame; or, for JPEG and its kin, a new frame after each fragment that holds an end-of-image marker.
// `pixel_offset` is that of the value. Throws std::runtime_error with a plain sentence where the data do not fit.
std::vector<std::vector<Span>> frame_spans(Source& source, std::uint64_t pixel_offset, bool big, std::uint64_t frames,
                                           const std::vector<std::uint64_t>& extended_offsets,
                                           const std::vector<std::uint64_t>& extended_lengths);

}  // namespace fastimg::dicom
