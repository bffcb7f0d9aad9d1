// Words of W cut to their low `bits` bits, without gaps, lowest bit first, and their sum: what travels.
#pragma once

#include <cstdint>

namespace fastimg::secagg {

// out holds ceil(count * bits / 8) bytes; bits left over in the last one are 0.
template <class W>
void pack(const W* words, std::int64_t count, int bits, std::uint8_t* out, int threads);

// sum[i] += the i-th packed word.
template <class W>
void add_packed(const std::uint8_t* packed, std::int64_t count, int bits, W* sum, int threads);

}  // namespace fastimg::secagg
