#include "secagg/noise.hpp"

#include <cstring>
#include <vector>

namespace fastimg::secagg {
namespace {

using Wide = unsigned __int128;
using std::uint64_t;

int length_of(Wide v) {  // bits
  const auto high = static_cast<uint64_t>(v >> 64), low = static_cast<uint64_t>(v);
  return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

// The ChaCha20 keystream of a seed, a word at a time.
class Source {
 public:
  explicit Source(const Stream& seed) : seed_(1, seed) {}
  ~Source() {
    std::memset(seed_.data(), 0, sizeof(Stream));
    std::memset(words_, 0, sizeof words_);
    __asm__ __volatile__("" : : "r"(words_), "r"(seed_.data()) : "memory");
  }
  uint64_t word() {
    if (at_ == kWords) {
      std::memset(words_, 0, sizeof words_);
      mask(static_cast<const uint64_t*>(nullptr), Target<uint64_t>{words_, nullptr, 0}, kWords, kWords * filled_++,
           seed_, nullptr, Prg::chacha20, false, Fixed{0, 0, 0, 0}, 1);
      at_ = 0;
    }
    return words_[at_++];
  }
  // Uniform below bound: as many bits as bound - 1 has, again where they reach it.
  Wide below(Wide bound) {
    const int bits = length_of(bound - 1);
    if (bits == 0) return 0;
    for (;;) {
      Wide v = bits > 64 ? Wide{word()} << 64 : Wide{0};
      v |= word();
      v &= ~Wide{0} >> (128 - bits);
      if (v < bound) return v;
    }
  }

 private:
  static constexpr std::int64_t kWords = 2048;
  std::vector<Stream> seed_;
  std::int64_t at_ = kWords, filled_ = 0;
  alignas(64) uint64_t words_[kWords];
};

// True with probability exp(-above / under), above <= under.
bool decay_once(Source& source, Wide above, Wide under) {
  Wide k = 1;
  while (source.below(under * k) < above) ++k;
  return k & 1;
}

bool decay(Source& source, Wide above, Wide under) {
  for (; above > under; above -= under)
    if (!decay_once(source, 1, 1)) return false;
  return decay_once(source, above, under);
}

std::int64_t discrete_laplace(Source& source, uint64_t scale) {
  for (;;) {
    const Wide part = source.below(scale);
    if (!decay_once(source, part, scale)) continue;
    std::int64_t turns = 0;
    while (decay_once(source, 1, 1)) ++turns;
    const auto size = static_cast<std::int64_t>(part) + turns * static_cast<std::int64_t>(scale);
    const bool minus = source.below(2) != 0;
    if (minus && size == 0) continue;
    return minus ? -size : size;
  }
}

}  // namespace

void discrete_gaussian(const Stream& seed, uint64_t variance, std::int64_t count, std::int64_t* out) {
  Source source(seed);
  uint64_t root = 0;  // floor of the square root
  for (uint64_t bit = uint64_t{1} << 24; bit; bit >>= 1)
    if ((root + bit) * (root + bit) <= variance) root += bit;
  const uint64_t scale = root + 1;
  const Wide under = Wide{2} * variance * scale * scale;
  for (std::int64_t i = 0; i < count; ++i) {
    for (;;) {
      const std::int64_t y = discrete_laplace(source, scale);
      const Wide far = Wide{static_cast<uint64_t>(y < 0 ? -y : y)} * scale;
      const Wide distance = far > variance ? far - variance : variance - far;
      if (!decay(source, distance * distance, under)) continue;
      out[i] = y;
      break;
    }
  }
}

}  // namespace fastimg::secagg
