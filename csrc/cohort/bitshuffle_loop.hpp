// Included once in each level's region: no include guard, no standard header.
//
// Eight planes of one byte are 8 words of 64 bits for each 64 elements. Three rounds of masked swaps between words
// (1, 2, 4 bits) leave in byte j of word k the byte of element 8 j + k; three more (8, 16, 32 bits) put it in byte k of
// word j. Both transposes are their own inverses. kLanes groups of 64 elements go side by side, so that the compiler
// makes each swap one vector operation: 24 swaps of 6 operations for 64 kLanes bytes.
namespace fastimg::cohort::FASTIMG_LEVEL {
namespace {

constexpr std::size_t kLanes = 8;
using Words = std::uint64_t[8][kLanes];

template <int shift>
inline __attribute__((always_inline)) void swap_bits(Words& w, int a, int b, std::uint64_t mask) {
  for (std::size_t l = 0; l < kLanes; ++l) {
    const std::uint64_t moved = ((w[a][l] >> shift) ^ w[b][l]) & mask;
    w[b][l] ^= moved;
    w[a][l] ^= moved << shift;
  }
}

inline __attribute__((always_inline)) void transpose_bits(Words& w) {
  for (int k = 0; k < 8; k += 2) swap_bits<1>(w, k, k + 1, 0x5555555555555555u);
  for (int k : {0, 1, 4, 5}) swap_bits<2>(w, k, k + 2, 0x3333333333333333u);
  for (int k : {0, 1, 2, 3}) swap_bits<4>(w, k, k + 4, 0x0f0f0f0f0f0f0f0fu);
}

inline __attribute__((always_inline)) void transpose_bytes(Words& w) {
  for (int k = 0; k < 8; k += 2) swap_bits<8>(w, k, k + 1, 0x00ff00ff00ff00ffu);
  for (int k : {0, 1, 4, 5}) swap_bits<16>(w, k, k + 2, 0x0000ffff0000ffffu);
  for (int k : {0, 1, 2, 3}) swap_bits<32>(w, k, k + 4, 0x00000000ffffffffu);
}

// 8 planes at `plane`, each `stride` bytes: the bytes of 64 kLanes elements from element 64 g on.
inline __attribute__((always_inline)) void planes_to_bytes(const std::uint8_t* plane, std::size_t stride,
                                                           std::uint8_t* bytes) {
  Words w;
  for (std::size_t k = 0; k < 8; ++k) std::memcpy(w[k], plane + k * stride, sizeof w[k]);
  transpose_bits(w);
  transpose_bytes(w);
  std::uint64_t out[kLanes][8];
  for (std::size_t l = 0; l < kLanes; ++l)
    for (std::size_t j = 0; j < 8; ++j) out[l][j] = w[j][l];
  std::memcpy(bytes, out, sizeof out);
}

inline __attribute__((always_inline)) void bytes_to_planes(const std::uint8_t* bytes, std::uint8_t* plane,
                                                           std::size_t stride) {
  std::uint64_t in[kLanes][8];
  std::memcpy(in, bytes, sizeof in);
  Words w;
  for (std::size_t l = 0; l < kLanes; ++l)
    for (std::size_t j = 0; j < 8; ++j) w[j][l] = in[l][j];
  transpose_bytes(w);
  transpose_bits(w);
  for (std::size_t k = 0; k < 8; ++k) std::memcpy(plane + k * stride, w[k], sizeof w[k]);
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

constexpr std::size_t kRun = 64 * kLanes;  // elements a step
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "planes are little-endian words");

template <std::size_t size>
void unshuffle_run(const std::uint8_t* in, std::uint8_t* out, std::size_t count) {
  const std::size_t stride = count / 8;
  std::size_t e = 0;
  for (; e + kRun <= count; e += kRun) {
    alignas(64) std::uint8_t bytes[size][kRun];
    for (std::size_t b = 0; b < size; ++b) planes_to_bytes(in + 8 * b * stride + e / 8, stride, bytes[b]);
    std::uint8_t* to = out + e * size;
    for (std::size_t k = 0; k < kRun; ++k)
      for (std::size_t b = 0; b < size; ++b) to[k * size + b] = bytes[b][k];
  }
  for (; e < count; e += 8)
    for (std::size_t b = 0; b < size; ++b) {
      std::uint64_t x = 0;
      for (std::size_t k = 0; k < 8; ++k) x |= std::uint64_t{in[(8 * b + k) * stride + e / 8]} << (8 * k);
      x = transpose_8x8(x);
      for (std::size_t k = 0; k < 8; ++k) out[(e + k) * size + b] = static_cast<std::uint8_t>(x >> (8 * k));
    }
}

template <std::size_t size>
void shuffle_run(const std::uint8_t* in, std::uint8_t* out, std::size_t count) {
  const std::size_t stride = count / 8;
  std::size_t e = 0;
  for (; e + kRun <= count; e += kRun) {
    alignas(64) std::uint8_t bytes[size][kRun];
    const std::uint8_t* from = in + e * size;
    for (std::size_t k = 0; k < kRun; ++k)
      for (std::size_t b = 0; b < size; ++b) bytes[b][k] = from[k * size + b];
    for (std::size_t b = 0; b < size; ++b) bytes_to_planes(bytes[b], out + 8 * b * stride + e / 8, stride);
  }
  for (; e < count; e += 8)
    for (std::size_t b = 0; b < size; ++b) {
      std::uint64_t x = 0;
      for (std::size_t k = 0; k < 8; ++k) x |= std::uint64_t{in[(e + k) * size + b]} << (8 * k);
      x = transpose_8x8(x);
      for (std::size_t k = 0; k < 8; ++k) out[(8 * b + k) * stride + e / 8] = static_cast<std::uint8_t>(x >> (8 * k));
    }
}

void unshuffle(const std::uint8_t* in, std::uint8_t* out, std::size_t count, std::size_t size) {
  if (size == 1) return unshuffle_run<1>(in, out, count);
  if (size == 2) return unshuffle_run<2>(in, out, count);
  if (size == 4) return unshuffle_run<4>(in, out, count);
  return unshuffle_run<8>(in, out, count);
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
