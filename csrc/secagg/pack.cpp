#include "secagg/pack.hpp"

#include <cstring>

#include "cpu/pool.hpp"

namespace fastimg::secagg {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

template <class W, int width>
void pack_run(const W* words, std::int64_t count, std::uint8_t* out) {
  for (std::int64_t i = 0; i < count; ++i) std::memcpy(out + i * width, words + i, width);
}

template <class W, int width>
void add_run(const std::uint8_t* packed, std::int64_t count, W* sum) {
  for (std::int64_t i = 0; i < count; ++i) {
    W word = 0;
    std::memcpy(&word, packed + i * width, width);
    sum[i] += word;
  }
}

// body(integral width) with the width as a constant: a copy of a constant size is one or two moves.
template <class W, class Body>
void at_width(int width, Body&& body) {
  switch (width) {
    case 1:
      return body(std::integral_constant<int, 1>{});
    case 2:
      return body(std::integral_constant<int, 2>{});
    case 3:
      return body(std::integral_constant<int, 3>{});
    case 4:
      return body(std::integral_constant<int, 4>{});
  }
  if constexpr (sizeof(W) == 8) switch (width) {
      case 5:
        return body(std::integral_constant<int, 5>{});
      case 6:
        return body(std::integral_constant<int, 6>{});
      case 7:
        return body(std::integral_constant<int, 7>{});
      case 8:
        return body(std::integral_constant<int, 8>{});
    }
}

}  // namespace

template <class W>
void pack(const W* words, std::int64_t count, int width, std::uint8_t* out, int threads) {
  at_width<W>(width, [&](auto constant) {
    constexpr int w = decltype(constant)::value;
    cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
      pack_run<W, w>(words + begin, end - begin, out + begin * w);
    });
  });
}

template <class W>
void add_packed(const std::uint8_t* packed, std::int64_t count, int width, W* sum, int threads) {
  at_width<W>(width, [&](auto constant) {
    constexpr int w = decltype(constant)::value;
    cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
      add_run<W, w>(packed + begin * w, end - begin, sum + begin);
    });
  });
}

template void pack(const std::uint32_t*, std::int64_t, int, std::uint8_t*, int);
template void pack(const std::uint64_t*, std::int64_t, int, std::uint8_t*, int);
template void add_packed(const std::uint8_t*, std::int64_t, int, std::uint32_t*, int);
template void add_packed(const std::uint8_t*, std::int64_t, int, std::uint64_t*, int);

}  // namespace fastimg::secagg
