// A block of memory on a cache line's border, freed with its owner.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace fastimg::cpu {

constexpr std::size_t kCacheLine = 64;

struct Free {
  void operator()(void* block) const { std::free(block); }
};
template <class T>
using Aligned = std::unique_ptr<T[], Free>;

// Uninitialised room for `count` values of a trivial type; throws std::bad_alloc, also where count * sizeof overflows.
template <class T>
Aligned<T> aligned(std::size_t count) {
  std::size_t bytes;
  if (__builtin_mul_overflow(count, sizeof(T), &bytes) || bytes > ~std::size_t{0} - kCacheLine) throw std::bad_alloc();
  bytes = (bytes + kCacheLine) & ~(kCacheLine - 1);
  void* block = std::aligned_alloc(kCacheLine, bytes);
  if (!block) throw std::bad_alloc();
  return Aligned<T>(static_cast<T*>(block));
}

}  // namespace fastimg::cpu
