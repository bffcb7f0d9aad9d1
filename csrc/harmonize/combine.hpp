// Sums of weighted arrays, and an array sharpened by its smoothed one.
#pragma once

#include <cstdint>

namespace fastimg::harmonize {

// out = ((weight[0] x arrays[0] + weight[1] x arrays[1]) + ...), each product and each sum rounded; `out` may be one of
// the arrays.
void combine(const float* const* arrays, const float* weights, int terms, float* out, std::int64_t count, int threads);

// out = values + amount x (values - smooth), each step rounded; `out` may be either.
void unsharp(const float* values, const float* smooth, float amount, float* out, std::int64_t count, int threads);

}  // namespace fastimg::harmonize
