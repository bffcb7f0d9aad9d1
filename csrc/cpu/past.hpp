// Writing what nobody reads soon: past the caches, so that a line is not fetched from memory only to be overwritten.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace fastimg::cpu {

constexpr std::int64_t kPastCaches = 16 << 20;  // results of fewer bytes may be found in a cache later

inline void copy_past(const void* from, void* to, std::int64_t bytes) {
#ifdef __SSE2__
  const char* source = static_cast<const char*>(from);
  char* target = static_cast<char*>(to);
  const std::int64_t head = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(target) & 63);
  if (bytes >= head + 64) {
    std::memcpy(target, source, static_cast<std::size_t>(head));
    source += head, target += head, bytes -= head;
    for (; bytes >= 64; source += 64, target += 64, bytes -= 64)
      for (int part = 0; part < 64; part += 16)
        _mm_stream_si128(reinterpret_cast<__m128i*>(target + part),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + part)));
  }
  std::memcpy(target, source, static_cast<std::size_t>(bytes));
#else
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
#endif
}

// Before another thread reads what was written so.
inline void end_past() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

// row(from, to, n) writes values [from, from + n) of a result; all of [begin, end), by way of a small block where
// `past`.
template <class T, class Row>
void fill_past(T* out, std::int64_t begin, std::int64_t end, bool past, Row row) {
  if (!past) return row(begin, out + begin, end - begin);
  constexpr std::int64_t kBlock = 8192 / sizeof(T);
  alignas(64) T block[kBlock];
  for (std::int64_t at = begin; at < end; at += kBlock) {
    const std::int64_t n = end - at < kBlock ? end - at : kBlock;
    row(at, block, n);
    copy_past(block, out + at, n * static_cast<std::int64_t>(sizeof(T)));
  }
  end_past();
}

}  // namespace fastimg::cpu
