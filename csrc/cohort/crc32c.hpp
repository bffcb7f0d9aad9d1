// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as RFC 3720 and Zarr's crc32c codec use it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastimg::cohort {

// Goes on from `crc` (0 to begin with). With SSE 4.2 about 8 bytes in 3 cycles, else 8 bytes a round by tables.
std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t crc = 0);

// The same without special instructions; for tests and other processors.
std::uint32_t crc32c_tables(const void* data, std::size_t size, std::uint32_t crc = 0);

}  // namespace fastimg::cohort
