// FIPS 197, 5.2: the key schedule, its S-box on bit slices, so that no address depends on the key.
#include <cstring>

#include "fastimg/atom.cuh"
#include "secagg/mask.hpp"

namespace fastimg::secagg {
namespace {

#include "secagg/aes_sbox.hpp"

void sub_word(std::uint8_t* word) {
  std::uint64_t q[8] = {};
  for (int b = 0; b < 8; ++b)
    for (int i = 0; i < 4; ++i) q[b] |= static_cast<std::uint64_t>(word[i] >> b & 1) << i;
  sbox(q);
  for (int i = 0; i < 4; ++i) {
    word[i] = 0;
    for (int b = 0; b < 8; ++b) word[i] |= static_cast<std::uint8_t>((q[b] >> i & 1) << b);
  }
}

}  // namespace

void expand_key(const std::uint8_t* key, std::uint8_t* round_keys) {
  std::memcpy(round_keys, key, 16);
  std::uint8_t constant = 1;
  for (int i = 16; i < 176; i += 4) {
    std::uint8_t word[4];
    std::memcpy(word, round_keys + i - 4, 4);
    if (i % 16 == 0) {
      const std::uint8_t turned[4] = {word[1], word[2], word[3], word[0]};
      std::memcpy(word, turned, 4);
      sub_word(word);
      word[0] ^= constant;
      constant = static_cast<std::uint8_t>(constant << 1 ^ (constant >> 7) * 0x1b);
    }
    for (int j = 0; j < 4; ++j) round_keys[i + j] = round_keys[i + j - 16] ^ word[j];
  }
}

}  // namespace fastimg::secagg
