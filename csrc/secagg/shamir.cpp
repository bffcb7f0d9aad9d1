#include "secagg/shamir.hpp"

#include <cstring>
#include <vector>

namespace fastimg::secagg {
namespace {

using Wide = unsigned __int128;
using std::uint64_t;

constexpr uint64_t kTop = 0x7fffffffffffffffull;

struct Element {
  uint64_t low, high;  // high < 2^63
};

// From below 2^128 to below p: fold the 128th bit, then subtract p where that does not borrow.
Element reduced(Wide v) {
  constexpr Wide p = (Wide{kTop} << 64) | ~uint64_t{0};
  v = (v & p) + (v >> 127);
  const Wide less = v - p;
  const Wide keep = Wide{0} - (less >> 127);  // all ones where v < p
  v = (v & keep) | (less & ~keep);
  return {static_cast<uint64_t>(v), static_cast<uint64_t>(v >> 64)};
}

Wide wide(Element a) { return (Wide{a.high} << 64) | a.low; }
Element add(Element a, Element b) { return reduced(wide(a) + wide(b)); }
Element sub(Element a, Element b) { return reduced(wide(a) + ((Wide{kTop} << 64 | ~uint64_t{0}) - wide(b))); }

Element mul(Element a, Element b) {
  const Wide ll = Wide{a.low} * b.low, lh = Wide{a.low} * b.high, hl = Wide{a.high} * b.low, hh = Wide{a.high} * b.high;
  const Wide middle = lh + hl + (ll >> 64);  // < 2^128: both products are below 2^127 - 2^64
  const Wide low = (middle << 64) | static_cast<uint64_t>(ll);
  const Wide high = hh + (middle >> 64);  // product = high 2^128 + low, and 2^128 = 2 (mod p)
  const Wide folded = (low & ((Wide{kTop} << 64) | ~uint64_t{0})) + (high << 1 | low >> 127);
  return reduced(folded);
}

Element load(const std::uint8_t* bytes) {
  Wide v;
  std::memcpy(&v, bytes, 16);
  return reduced(v);
}

void store(Element a, std::uint8_t* bytes) {
  const Wide v = wide(a);
  std::memcpy(bytes, &v, 16);
}

// a^(p-2); p - 2 = 2^127 - 3: all ones but the second lowest bit.
Element inverse(Element a) {
  Element power = a;  // a^(2^k - 1), k = 1
  for (int k = 2; k <= 125; ++k) power = mul(mul(power, power), a);
  power = mul(power, power);
  return mul(mul(power, power), a);
}

}  // namespace

void shamir_split(const std::uint8_t* secrets, const std::uint8_t* coefficients, std::int64_t count, int threshold,
                  const std::uint32_t* points, std::int64_t shares, std::uint8_t* out) {
  for (std::int64_t i = 0; i < shares; ++i) {
    const Element x{points[i], 0};
    for (std::int64_t s = 0; s < count; ++s) {
      Element y{0, 0};
      for (int k = threshold - 2; k >= 0; --k) y = mul(add(y, load(coefficients + 16 * (s * (threshold - 1) + k))), x);
      store(add(y, load(secrets + 16 * s)), out + 16 * (i * count + s));
    }
  }
}

void shamir_combine(const std::uint8_t* shares, const std::uint32_t* points, int threshold, std::int64_t count,
                    std::uint8_t* secrets) {
  // weight_i = prod_{j != i} x_j / (x_j - x_i); one inversion for all denominators.
  std::vector<Element> above(threshold), below(threshold), run(threshold);
  Element product{1, 0};
  for (int i = 0; i < threshold; ++i) {
    above[i] = below[i] = {1, 0};
    for (int j = 0; j < threshold; ++j) {
      if (j == i) continue;
      above[i] = mul(above[i], {points[j], 0});
      below[i] = mul(below[i], sub({points[j], 0}, {points[i], 0}));
    }
    run[i] = product;
    product = mul(product, below[i]);
  }
  Element rest = inverse(product);
  std::vector<Element> sum(count, Element{0, 0});
  for (int i = threshold - 1; i >= 0; --i) {
    const Element weight = mul(above[i], mul(rest, run[i]));
    rest = mul(rest, below[i]);
    for (std::int64_t s = 0; s < count; ++s) sum[s] = add(sum[s], mul(weight, load(shares + 16 * (i * count + s))));
  }
  for (std::int64_t s = 0; s < count; ++s) store(sum[s], secrets + 16 * s);
  std::memset(sum.data(), 0, sum.size() * sizeof(Element));
  __asm__ __volatile__("" : : "r"(sum.data()) : "memory");
}

}  // namespace fastimg::secagg
