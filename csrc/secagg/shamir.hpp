// Shamir's secret sharing over the prime field of p = 2^127 - 1. An element is 16 bytes, little-endian, below p.
//
// Arithmetic on secrets is constant-time: no branch and no address depends on a value. The points x are public.
#pragma once

#include <cstdint>

namespace fastimg::secagg {

// shares[i][s] = secrets[s] + c[s][0] x_i + ... + c[s][t-2] x_i^(t-1); the coefficients are 16 random bytes each.
void shamir_split(const std::uint8_t* secrets, const std::uint8_t* coefficients, std::int64_t count, int threshold,
                  const std::uint32_t* points, std::int64_t shares, std::uint8_t* out);

// The secrets from exactly `threshold` shares [i][s] at distinct points: Lagrange's formula at 0.
void shamir_combine(const std::uint8_t* shares, const std::uint32_t* points, int threshold, std::int64_t count,
                    std::uint8_t* secrets);

}  // namespace fastimg::secagg
