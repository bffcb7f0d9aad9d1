#include "cohort/crc32c.hpp"

#include <array>
#include <cstring>

#include "cpu/pool.hpp"

#ifdef FASTIMG_X86
#include <nmmintrin.h>
#endif

namespace fastimg::cohort {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables t{};
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t c = n;
    for (int k = 0; k < 8; ++k) c = (c >> 1) ^ (c & 1 ? kPolynomial : 0);
    t[0][n] = c;
  }
  for (std::uint32_t n = 0; n < 256; ++n)
    for (std::size_t k = 1; k < 8; ++k) t[k][n] = (t[k - 1][n] >> 8) ^ t[0][t[k - 1][n] & 0xff];
  return t;
}
constexpr Tables tables = make_tables();

#ifdef FASTIMG_X86
// One chain of crc32 instructions waits 3 cycles for each 8 bytes; three chains of kBlock bytes side by side do not.
// Their results are joined by shifting the first ones over kBlock zero bytes.
constexpr std::size_t kBlock = 1024;

// The checksum register after `kBlock` more zero bytes is linear in the register: one table a byte of it.
using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

Shift make_shift() {
  Shift s{};
  for (std::size_t byte = 0; byte < 4; ++byte)
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t c = n << (8 * byte);
      for (std::size_t k = 0; k < kBlock; ++k) c = (c >> 8) ^ tables[0][c & 0xff];
      s[byte][n] = c;
    }
  return s;
}

inline std::uint32_t shifted(const Shift& s, std::uint32_t c) {
  return s[0][c & 0xff] ^ s[1][c >> 8 & 0xff] ^ s[2][c >> 16 & 0xff] ^ s[3][c >> 24];
}

inline std::uint64_t load(const unsigned char* p) {
  std::uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(const unsigned char* p, std::size_t size,
                                                             std::uint32_t start) {
  static const Shift shift = make_shift();
  std::uint64_t crc = start;
  for (; size >= 3 * kBlock; p += 3 * kBlock, size -= 3 * kBlock) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t k = 0; k < kBlock; k += 8) {
      crc = _mm_crc32_u64(crc, load(p + k));
      second = _mm_crc32_u64(second, load(p + kBlock + k));
      third = _mm_crc32_u64(third, load(p + 2 * kBlock + k));
    }
    crc = shifted(shift, shifted(shift, static_cast<std::uint32_t>(crc)) ^ static_cast<std::uint32_t>(second)) ^ third;
  }
  for (; size >= 8; p += 8, size -= 8) crc = _mm_crc32_u64(crc, load(p));
  auto last = static_cast<std::uint32_t>(crc);
  for (; size; ++p, --size) last = _mm_crc32_u8(last, *p);
  return last;
}
#endif

}  // namespace

std::uint32_t crc32c_tables(const void* data, std::size_t size, std::uint32_t crc) {
  const auto* p = static_cast<const unsigned char*>(data);
  crc = ~crc;
  for (; size >= 8; p += 8, size -= 8) {
    std::uint32_t low = crc;
    low ^= p[0] | p[1] << 8 | p[2] << 16 | static_cast<std::uint32_t>(p[3]) << 24;
    crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
          tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
  }
  for (; size; ++p, --size) crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xff];
  return ~crc;
}

std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t crc) {
#ifdef FASTIMG_X86
  // every processor of the AVX2 level has SSE 4.2
  if (cpu::api().level() != cpu::Level::baseline)
    return ~crc32c_sse42(static_cast<const unsigned char*>(data), size, ~crc);
#endif
  return crc32c_tables(data, size, crc);
}

}  // namespace fastimg::cohort
