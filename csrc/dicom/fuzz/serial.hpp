// A pool of no threads, in place of the core module's.
#pragma once

#include "cpu/pool.hpp"

namespace fastimg::cpu {

inline void serial(std::int64_t count, std::int64_t grain, int, Body body, void* context) {
  for (std::int64_t begin = 0; begin < count; begin += grain)
    body(context, begin, begin + grain < count ? begin + grain : count);
}
inline Level level_now = Level::baseline;
inline const Api serial_api{kApiVersion, serial, [] { return level_now; }, [] { return 1; }};

}  // namespace fastimg::cpu
