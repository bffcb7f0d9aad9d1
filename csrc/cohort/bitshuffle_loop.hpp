// Included once in each level's region: no include guard, no standard header.
//
// Eight planes of one byte of the element, 64 bytes of each: three rounds of masked swaps between rows (1, 2, 4 bits)
// leave in byte p of row k the byte of element 8 p + k: 12 swaps of 6 operations for 512 bytes. What remains is a
// transpose of bytes, done 16 of each row at a time by perfect shuffles (the two halves of a block, a byte of each in
// turn): each turns the bits of a byte's address by one place, so that as many of them as there are address bits of
// (k, byte of the element) bring the element's address to the front, and four more rounds bring it back.
namespace fastimg::cohort::FASTIMG_LEVEL {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "planes are little-endian words");
using Row = std::uint64_t __attribute__((vector_size(64)));
using Piece = std::uint8_t __attribute__((vector_size(16)));
constexpr std::size_t kRow = sizeof(Row), kPiece = sizeof(Piece), kRun = 8 * kRow;  // kRun: elements a step

template <int shift>
inline __attribute__((always_inline)) void swap_bits(Row& a, Row& b, std::uint64_t mask) {
  const Row moved = ((a >> shift) ^ b) & mask;
  b ^= moved;
  a ^= moved << shift;
}

// its own inverse
inline __attribute__((always_inline)) void transpose_bits(Row (&w)[8]) {
  for (int k = 0; k < 8; k += 2) swap_bits<1>(w[k], w[k + 1], 0x5555555555555555u);
  for (int k : {0, 1, 4, 5}) swap_bits<2>(w[k], w[k + 2], 0x3333333333333333u);
  for (int k : {0, 1, 2, 3}) swap_bits<4>(w[k], w[k + 4], 0x0f0f0f0f0f0f0f0fu);
}

template <std::size_t count>
inline __attribute__((always_inline)) void perfect_shuffle(Piece (&v)[count]) {
  constexpr Piece kLow = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  constexpr Piece kHigh = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  Piece out[count];
  for (std::size_t i = 0; i < count / 2; ++i) {
    out[2 * i] = __builtin_shuffle(v[i], v[i + count / 2], kLow);
    out[2 * i + 1] = __builtin_shuffle(v[i], v[i + count / 2], kHigh);
  }
  for (std::size_t i = 0; i < count; ++i) v[i] = out[i];
}

// one group of 8 elements: an 8 x 8 transpose of bits
inline std::uint64_t transpose_8x8(std::uint64_t x) {
  std::uint64_t t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aau;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000cccc0000ccccu;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0u;
  return x ^ t ^ (t << 28);
}

template <std::size_t size>
std::size_t unshuffle_run(const std::uint8_t* in, std::uint8_t* out, std::size_t count, std::size_t first,
                          std::size_t last) {
  constexpr int rounds = size == 1 ? 3 : size == 2 ? 4 : size == 4 ? 5 : 6;
  const std::size_t stride = count / 8;
  std::size_t e = first / kRun * kRun;
  for (; e < last && e + kRun <= count; e += kRun) {
    alignas(64) std::uint8_t rows[8][size][kRow];
    for (std::size_t b = 0; b < size; ++b) {
      Row w[8];
      for (std::size_t k = 0; k < 8; ++k) std::memcpy(&w[k], in + (8 * b + k) * stride + e / 8, kRow);
      transpose_bits(w);
      for (std::size_t k = 0; k < 8; ++k) std::memcpy(rows[k][b], &w[k], kRow);
    }
    for (std::size_t q = 0; q < kRow; q += kPiece) {
      Piece v[8 * size];
      for (std::size_t k = 0; k < 8; ++k)
        for (std::size_t b = 0; b < size; ++b) std::memcpy(&v[k * size + b], rows[k][b] + q, kPiece);
      for (int round = 0; round < rounds; ++round) perfect_shuffle(v);
      std::memcpy(out + (e + 8 * q) * size, v, sizeof v);
    }
  }
  for (; e < last; e += 8)
    for (std::size_t b = 0; b < size; ++b) {
      std::uint64_t x = 0;
      for (std::size_t k = 0; k < 8; ++k) x |= std::uint64_t{in[(8 * b + k) * stride + e / 8]} << (8 * k);
      x = transpose_8x8(x);
      for (std::size_t k = 0; k < 8; ++k) out[(e + k) * size + b] = static_cast<std::uint8_t>(x >> (8 * k));
    }
  return e;
}

template <std::size_t size>
void shuffle_run(const std::uint8_t* in, std::uint8_t* out, std::size_t count) {
  const std::size_t stride = count / 8;
  std::size_t e = 0;
  for (; e + kRun <= count; e += kRun) {
    alignas(64) std::uint8_t rows[8][size][kRow];
    for (std::size_t q = 0; q < kRow; q += kPiece) {
      Piece v[8 * size];
      std::memcpy(v, in + (e + 8 * q) * size, sizeof v);
      for (int round = 0; round < 4; ++round) perfect_shuffle(v);
      for (std::size_t k = 0; k < 8; ++k)
        for (std::size_t b = 0; b < size; ++b) std::memcpy(rows[k][b] + q, &v[k * size + b], kPiece);
    }
    for (std::size_t b = 0; b < size; ++b) {
      Row w[8];
      for (std::size_t k = 0; k < 8; ++k) std::memcpy(&w[k], rows[k][b], kRow);
      transpose_bits(w);
      for (std::size_t k = 0; k < 8; ++k) std::memcpy(out + (8 * b + k) * stride + e / 8, &w[k], kRow);
    }
  }
  for (; e < count; e += 8)
    for (std::size_t b = 0; b < size; ++b) {
      std::uint64_t x = 0;
      for (std::size_t k = 0; k < 8; ++k) x |= std::uint64_t{in[(e + k) * size + b]} << (8 * k);
      x = transpose_8x8(x);
      for (std::size_t k = 0; k < 8; ++k) out[(8 * b + k) * stride + e / 8] = static_cast<std::uint8_t>(x >> (8 * k));
    }
}

std::size_t unshuffle(const std::uint8_t* in, std::uint8_t* out, std::size_t count, std::size_t size, std::size_t first,
                      std::size_t last) {
  if (size == 1) return unshuffle_run<1>(in, out, count, first, last);
  if (size == 2) return unshuffle_run<2>(in, out, count, first, last);
  if (size == 4) return unshuffle_run<4>(in, out, count, first, last);
  return unshuffle_run<8>(in, out, count, first, last);
}

void shuffle(const std::uint8_t* in, std::uint8_t* out, std::size_t count, std::size_t size) {
  if (size == 1) return shuffle_run<1>(in, out, count);
  if (size == 2) return shuffle_run<2>(in, out, count);
  if (size == 4) return shuffle_run<4>(in, out, count);
  return shuffle_run<8>(in, out, count);
}

}  // namespace

extern const BitshuffleTable bitshuffle_table;
const BitshuffleTable bitshuffle_table = {shuffle, unshuffle};

}  // namespace fastimg::cohort::FASTIMG_LEVEL
