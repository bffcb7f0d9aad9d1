// Raw DEFLATE (RFC 1951), for the deflated transfer syntax.
#pragma once

#include <cstdint>
#include <vector>

#include "dicom/bytes.hpp"

namespace fastimg::dicom {

enum class Inflated { whole, limited, damaged };

// Appends to `out` until the stream ends or `out` holds `limit` bytes (then `limited`). `out` grows with what was
// produced, never by what the stream claims; a byte of input yields at most 1032.
Inflated inflate(const Byte* in, std::uint64_t size, std::vector<Byte>& out, std::uint64_t limit);

}  // namespace fastimg::dicom
