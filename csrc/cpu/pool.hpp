// Work in fixed chunks on a pool of threads.
//
// Chunk borders depend on (count, grain) alone, never on the number of threads: a loop that writes only its own chunk,
// or that keeps one partial result a chunk and combines them in order, gives the same bits on any number of threads.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/isa.hpp"

namespace fastimg::cpu {

using Body = void (*)(void* context, std::int64_t begin, std::int64_t end);

// Runs body over [0, count) in chunks of `grain`; `threads` <= 0 means the configured number. The caller works too.
// Nested calls run on the calling thread. The first exception of a chunk is rethrown here, after all chunks ended.
void run(std::int64_t count, std::int64_t grain, int threads, Body body, void* context);

int threads();
void set_threads(int count);

// What the other compiled modules call; filled in by the core module, reached through its capsule (bind/capi.hpp).
struct Api {
  int version;
  void (*run)(std::int64_t, std::int64_t, int, Body, void*);
  Level (*level)();
  int (*threads)();
};
constexpr int kApiVersion = 1;
inline const Api* imported = nullptr;  // one a module: symbols are hidden
inline const Api& api() { return *imported; }

// parallel_for(n, grain, threads, [&](int64_t begin, int64_t end) { ... });
template <class F>
void parallel_for(std::int64_t count, std::int64_t grain, int threads, F&& body) {
  using Function = std::remove_reference_t<F>;
  api().run(
      count, grain, threads,
      [](void* context, std::int64_t begin, std::int64_t end) { (*static_cast<Function*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace fastimg::cpu
