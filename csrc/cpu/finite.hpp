// Whether an array holds no NaN and no infinity.
#pragma once

#include <cstdint>

namespace fastimg::cpu {

template <class T>
bool finite(const T* values, std::int64_t count, int threads);

}  // namespace fastimg::cpu
