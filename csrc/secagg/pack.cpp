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

std::uint64_t mask_of(int bits) { return ~std::uint64_t{0} >> (64 - bits); }

// `out` is the first byte of the run, which starts at a multiple of 8 words.
template <class W>
void pack_bits(const W* words, std::int64_t count, int bits, std::uint8_t* out) {
  const std::uint64_t mask = mask_of(bits);
  unsigned __int128 held = 0;
  int have = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    held |= static_cast<unsigned __int128>(words[i] & mask) << have;
    have += bits;
    if (have >= 64) {
      const auto low = static_cast<std::uint64_t>(held);
      std::memcpy(out, &low, 8);
      out += 8;
      held >>= 64;
      have -= 64;
    }
  }
  const auto low = static_cast<std::uint64_t>(held);
  std::memcpy(out, &low, (have + 7) / 8);
}

// Words begin to end of a packed run of `size` bytes.
template <class W>
void add_bits(const std::uint8_t* packed, std::int64_t size, std::int64_t begin, std::int64_t end, int bits, W* sum) {
  const std::uint64_t mask = mask_of(bits);
  std::int64_t i = begin;
  const std::int64_t whole =
      bits <= 57 && size >= 8 ? ((size - 8) * 8) / bits : 0;  // eight bytes can be read from each
  for (const std::int64_t stop = whole < end ? whole : end; i < stop; ++i) {
    const std::int64_t at = i * bits;
    std::uint64_t word;
    std::memcpy(&word, packed + (at >> 3), 8);
    sum[i] += static_cast<W>(word >> (at & 7) & mask);
  }
  for (; i < end; ++i) {
    const std::int64_t at = i * bits, first = at >> 3, last = (at + bits + 7) >> 3;
    unsigned __int128 word = 0;
    for (std::int64_t b = first; b < last; ++b) word |= static_cast<unsigned __int128>(packed[b]) << (8 * (b - first));
    sum[i] += static_cast<W>(static_cast<std::uint64_t>(word >> (at & 7)) & mask);
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
void pack(const W* words, std::int64_t count, int bits, std::uint8_t* out, int threads) {
  if (bits % 8) {
    cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
      pack_bits(words + begin, end - begin, bits, out + begin / 8 * bits);
    });
    return;
  }
  at_width<W>(bits / 8, [&](auto constant) {
    constexpr int w = decltype(constant)::value;
    cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
      pack_run<W, w>(words + begin, end - begin, out + begin * w);
    });
  });
}

template <class W>
void add_packed(const std::uint8_t* packed, std::int64_t count, int bits, W* sum, int threads) {
  if (bits % 8) {
    const std::int64_t size = (count * bits + 7) / 8;
    cpu::parallel_for(count, kGrain, threads,
                      [&](std::int64_t begin, std::int64_t end) { add_bits(packed, size, begin, end, bits, sum); });
    return;
  }
  at_width<W>(bits / 8, [&](auto constant) {
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
