// Writing what nobody reads soon: past the caches, so that a line is not fetched from memory only to be overwritten.
// Included where tables are chosen, outside of any level's region.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/pool.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>
#endif

namespace fastimg::cpu {

constexpr std::int64_t kPastCaches = 16 << 20;  // results of fewer bytes may be found in a cache later

#ifdef FASTIMG_X86
// Whole cache lines; the wider the stores, the fewer of them wait for memory.
__attribute__((target("avx512f"))) static inline void lines_past_512(const char* from, char* to, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
}
static inline void lines_past_128(const char* from, char* to, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
}
#endif

inline void copy_past(const void* from, void* to, std::int64_t bytes) {
  const char* source = static_cast<const char*>(from);
  char* target = static_cast<char*>(to);
#ifdef FASTIMG_X86
  const std::int64_t head = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(target) & 63);
  const std::int64_t whole = bytes < head ? 0 : (bytes - head) / 64 * 64;
  if (whole) {
    std::memcpy(target, source, static_cast<std::size_t>(head));
    source += head, target += head, bytes -= head + whole;
    api().level() == Level::avx512 ? lines_past_512(source, target, whole) : lines_past_128(source, target, whole);
    source += whole, target += whole;
  }
#endif
  std::memcpy(target, source, static_cast<std::size_t>(bytes));
}

// Before another thread reads what was written so.
inline void end_past() {
#ifdef FASTIMG_X86
  _mm_sfence();
#endif
}

// row(from, to, n) writes values [from, from + n) of a result; all of [begin, end), by way of a small block where
// `past`. Four places 16 KiB apart take turns: a core's prefetcher follows each of them by itself, so that more lines
// are under way than along one.
template <class T, class Row>
void fill_past(T* out, std::int64_t begin, std::int64_t end, bool past, Row row) {
  if (!past) return row(begin, out + begin, end - begin);
  constexpr std::int64_t kPiece = 512 / sizeof(T), kApart = 16384 / sizeof(T), kPlaces = 4;
  alignas(64) T block[kPiece];
  const auto piece = [&](std::int64_t at, std::int64_t n) {
    row(at, block, n);
    copy_past(block, out + at, n * static_cast<std::int64_t>(sizeof(T)));
  };
  const auto past_line = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(out + begin) & 63);
  std::int64_t at = begin;
  if (const std::int64_t head = past_line / static_cast<std::int64_t>(sizeof(T)); head && head < end - begin) {
    row(at, out + at, head);  // from here on whole lines
    at += head;
  }
  for (; end - at >= kPlaces * kApart; at += kPlaces * kApart)
    for (std::int64_t i = 0; i < kApart; i += kPiece)
      for (int k = 0; k < kPlaces; ++k) piece(at + k * kApart + i, kPiece);
  for (; at < end; at += kPiece) piece(at, end - at < kPiece ? end - at : kPiece);
  end_past();
}

}  // namespace fastimg::cpu
