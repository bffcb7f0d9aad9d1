// Discrete Gaussian noise, exact: Canonne, Kamath, Steinke, The Discrete Gaussian for Differential Privacy, NeurIPS
// 2020, algorithms 1 to 3, in whole numbers over the keystream of a secret seed. Its time depends on what it draws.
#pragma once

#include <cstdint>

#include "secagg/mask.hpp"

namespace fastimg::secagg {

// out[i]: independent, P(x) ~ exp(-x^2 / (2 variance)); variance 1 to 2^48.
void discrete_gaussian(const Stream& seed, std::uint64_t variance, std::int64_t count, std::int64_t* out);

}  // namespace fastimg::secagg
