#include "cpu/isa.hpp"

#include <atomic>

namespace fastimg::cpu {

Level supported() {
#ifdef FASTIMG_X86
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512cd");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (avx2 && avx512) return Level::avx512;
  if (avx2) return Level::avx2;
#endif
  return Level::baseline;
}

namespace {
std::atomic<int>& current() {
  static std::atomic<int> value{static_cast<int>(supported())};
  return value;
}
}  // namespace

Level level() { return static_cast<Level>(current().load(std::memory_order_relaxed)); }

void set_level(Level wanted) {
  const int limit = static_cast<int>(supported());
  const int value = static_cast<int>(wanted);
  current().store(value < limit ? value : limit, std::memory_order_relaxed);
}

}  // namespace fastimg::cpu
