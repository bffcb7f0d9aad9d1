// Words of W cut to their low `width` bytes, and their sum: what travels.
#pragma once

#include <cstdint>

namespace fastimg::secagg {

// out holds count * width bytes.
template <class W>
void pack(const W* words, std::int64_t count, int width, std::uint8_t* out, int threads);

// sum[i] += the i-th packed word.
template <class W>
void add_packed(const std::uint8_t* packed, std::int64_t count, int width, W* sum, int threads);

}  // namespace fastimg::secagg
