// The loops of rows.hpp, compiled once a level, over vectors of GCC and Clang. A row's last vector overlaps the one
// before it, so that nothing is left over; rows shorter than a vector take a shorter one, and the shortest go voxel by
// voxel.
#include "fastimg/texture.cuh"

namespace fastimg::radiomics::FASTIMG_LEVEL {
namespace {

#if defined(FASTIMG_AVX512)
constexpr int kBytes = 64;
#elif defined(FASTIMG_AVX2)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

// Lanes of T; one lane is a plain T, whose comparisons are turned into masks below.
template <class T, int kLanes>
struct Lanes {
  typedef T type __attribute__((vector_size(kLanes * sizeof(T))));
};

template <class V, class T>
static inline __attribute__((always_inline)) V load(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class V, class T>
static inline __attribute__((always_inline)) void store(T* to, V v) {
  std::memcpy(to, &v, sizeof v);
}

// Runs block.template run<lanes>(x) over a row, each x + lanes <= n.
template <class T, int kWide = kBytes, class Block>
static inline __attribute__((always_inline)) void blocks(std::int64_t n, Block& block) {
  constexpr int kLanes = kWide / static_cast<int>(sizeof(T));
  if (n >= kLanes) {
    std::int64_t x = 0;
    for (; x + kLanes <= n; x += kLanes) block.template run<kLanes>(x);
    if (x < n) block.template run<kLanes>(n - kLanes);
  } else if constexpr (kWide > 16) {
    blocks<T, kWide / 2>(n, block);
  } else {
    for (std::int64_t x = 0; x < n; ++x) block.one(x);
  }
}

template <class T, class I>
void cells(const T* at, const T* other, std::int64_t side, I* __restrict index, std::int64_t n) {
  const I s = static_cast<I>(side);
  for (std::int64_t x = 0; x < n; ++x)
    index[x] = static_cast<I>(static_cast<I>(static_cast<I>(at[x]) * s) + static_cast<I>(other[x]));
}

template <class T>
struct Around {
  using S = typename Twice<T>::type;
  const T* at;
  const std::int64_t* shifts;
  std::int64_t count, alpha;
  T *near, *in;
  S* sum;

  template <int kLanes>
  __attribute__((always_inline)) void run(std::int64_t x) {
    using V = typename Lanes<T, kLanes>::type;
    using W = typename Lanes<S, kLanes / 2>::type;
    const V own = load<V>(at + x);
    V n = {}, i = {};
    W even = {}, odd = {};  // sums of the voxels at even and odd places
    const V zero = {};
    const W low = W{} + static_cast<S>(static_cast<T>(-1));
    if (alpha == 0) {
      for (std::int64_t k = 0; k < count; ++k) {
        const V other = load<V>(at + x + shifts[k]);
        n -= (V)(other == own);  // outside is 0, so it equals no voxel of the region
        i -= (V)(other != zero);
        even += (W)other & low;
        odd += (W)other >> (8 * sizeof(T));
      }
    } else {
      const V most = V{} + static_cast<T>(alpha > static_cast<T>(-1) ? static_cast<T>(-1) : alpha);
      for (std::int64_t k = 0; k < count; ++k) {
        const V other = load<V>(at + x + shifts[k]), apart = other > own ? other - own : own - other;
        n -= (V)(apart <= most) & (V)(other != zero);
        i -= (V)(other != zero);
        even += (W)other & low;
        odd += (W)other >> (8 * sizeof(T));
      }
    }
    store(near + x, n);
    store(in + x, i);
    S pair[2][kLanes / 2];
    store(pair[0], even);
    store(pair[1], odd);
    for (int j = 0; j < kLanes / 2; ++j) {
      sum[x + 2 * j] = pair[0][j];
      sum[x + 2 * j + 1] = pair[1][j];
    }
  }
  void one(std::int64_t x) {
    T n = 0, i = 0;
    S s = 0;
    for (std::int64_t k = 0; k < count; ++k) {
      const T other = at[x + shifts[k]];
      n = static_cast<T>(n + depends(at[x], other, alpha));
      i = static_cast<T>(i + (other != 0));
      s = static_cast<S>(s + other);
    }
    near[x] = n;
    in[x] = i;
    sum[x] = s;
  }
};

template <class T>
void around(const T* at, const std::int64_t* shifts, std::int64_t count, std::int64_t alpha, T* near, T* in,
            typename Twice<T>::type* sum, std::int64_t n) {
  Around<T> block{at, shifts, count, alpha, near, in, sum};
  blocks<T>(n, block);
}

// A bit for each lane of a mask of all ones or zeros.
template <int kLanes, class T>
static inline __attribute__((always_inline)) std::uint64_t bits_of(typename Lanes<T, kLanes>::type mask) {
#if defined(FASTIMG_AVX512)
  typedef char Full __attribute__((vector_size(64)));
  if constexpr (sizeof(mask) == 64 && sizeof(T) == 1) return __builtin_ia32_cvtb2mask512((Full)mask);
#elif defined(FASTIMG_AVX2)
  typedef char Full __attribute__((vector_size(32)));
  if constexpr (sizeof(mask) == 32 && sizeof(T) == 1)
    return static_cast<std::uint32_t>(__builtin_ia32_pmovmskb256((Full)mask));
#endif
  std::uint8_t bytes[kLanes];
  if constexpr (sizeof(T) == 1) {
    store(bytes, mask);
  } else {
    T wide[kLanes];
    store(wide, mask);
    for (int j = 0; j < kLanes; ++j) bytes[j] = static_cast<std::uint8_t>(wide[j]);
  }
  std::uint64_t bits = 0;
#ifdef __SSE2__
  if constexpr (kLanes >= 16) {
    typedef char Sixteen __attribute__((vector_size(16)));
    for (int j = 0; j < kLanes; j += 16)
      bits |=
          static_cast<std::uint64_t>(static_cast<std::uint16_t>(__builtin_ia32_pmovmskb128(load<Sixteen>(bytes + j))))
          << j;
    return bits;
  }
#endif
  for (int j = 0; j < kLanes; ++j) bits |= static_cast<std::uint64_t>(bytes[j] & 1) << j;
  return bits;
}

// Stores lanes that fit a byte as bytes.
template <int kLanes, class T>
static inline __attribute__((always_inline)) void store_bytes(std::uint8_t* to, typename Lanes<T, kLanes>::type v) {
  if constexpr (sizeof(T) == 1) {
    store(to, v);
  } else {
    T wide[kLanes];
    store(wide, v);
    for (int j = 0; j < kLanes; ++j) to[j] = static_cast<std::uint8_t>(wide[j]);
  }
}

static inline __attribute__((always_inline)) void mark(std::uint64_t* words, std::int64_t x, std::uint64_t bits) {
  const std::int64_t word = x >> 6, bit = x & 63;
  words[word] |= bits << bit;
  if (bit) words[word + 1] |= bits >> (64 - bit);
}

template <class T>
struct Extend {
  const T* at;
  std::int64_t step;
  const T* before_length;
  T* length;
  std::uint64_t* ends;

  template <int kLanes>
  __attribute__((always_inline)) void run(std::int64_t x) {
    using V = typename Lanes<T, kLanes>::type;
    const V zero = {}, own = load<V>(at + x), so_far = load<V>(before_length + x);
    const V most = V{} + static_cast<T>(-1);
    const V equal = (V)(load<V>(at + x - step) == own);
    store(length + x, (V)(((so_far - (V)(so_far != most)) & equal) | (~equal & (V{} + static_cast<T>(1)))));
    mark(ends, x, bits_of<kLanes, T>(equal & (V)(load<V>(at + x + step) != own) & (V)(own != zero)));
  }
  void one(std::int64_t x) {
    const bool equal = at[x - step] == at[x];
    length[x] = static_cast<T>(equal ? before_length[x] + (before_length[x] != static_cast<T>(-1)) : 1);
    mark(ends, x, equal & (at[x + step] != at[x]) & (at[x] != 0));
  }
};

template <class T>
void extend(const T* at, std::int64_t step, const T* before_length, T* length, std::uint64_t* ends, std::int64_t n) {
  for (std::int64_t word = 0; word < n / 64 + 2; ++word) ends[word] = 0;
  Extend<T> block{at, step, before_length, length, ends};
  blocks<T>(n, block);
}

// Eight at a time, whatever their number, so that no branch depends on it.
std::int64_t places(const std::uint64_t* words, std::int64_t count, std::int32_t* to) {
  std::int64_t found = 0;
  for (std::int64_t word = 0; word < count; ++word) {
    std::uint64_t bits = words[word];
    const std::int64_t set = __builtin_popcountll(bits);
    const auto base = static_cast<std::int32_t>(64 * word);
    for (std::int64_t i = 0; i < set; i += 8)
      for (int j = 0; j < 8; ++j) {
        to[found + i + j] = base + __builtin_ctzll(bits | std::uint64_t{1} << 63);
        bits &= bits - 1;
      }
    found += set;
  }
  return found;
}

template <class T>
struct Meet {
  const T* at;
  Reach reach;
  std::uint8_t *code, *more;
  std::uint64_t* any;

  // A voxel of a row takes part with its zone where `allowed`. Later calls are the ones preferred.
  template <class V>
  static __attribute__((always_inline)) void meet(const T* row, int r, V own, V middle, V allowed, V begins, V& found,
                                                  V& code_right, V& code_left) {
    const V right = (V)(load<V>(row + 1) == own) & ~middle & allowed;
    const V left = (V)(load<V>(row - 1) == own) & ~middle & allowed & begins;
    const V centre = middle & allowed & begins;
    found |= ((left | centre) & (V{} + static_cast<T>(1u << r))) | (right & (V{} + static_cast<T>(16u << r)));
    const V base = V{} + static_cast<T>(kOther + 3 * r);
    code_right = right ? base + static_cast<T>(2) : code_right;
    code_left = left ? base : code_left;
    code_left = centre ? base + static_cast<T>(1) : code_left;
  }

  template <class V>
  static __attribute__((always_inline)) V touch(const T* row, V own) {
    return (V)(load<V>(row - 1) == own) | (V)(load<V>(row) == own) | (V)(load<V>(row + 1) == own);
  }

  template <int kLanes>
  __attribute__((always_inline)) void run(std::int64_t x) {
    using V = typename Lanes<T, kLanes>::type;
    const T* const here = at + x;
    const V own = load<V>(here), none = {}, inside = (V)(own != none);
    const V like = (V)(load<V>(here - 1) == own), begins = ~like;
    const T* const above = here - reach.step_y;
    const V middle = (V)(load<V>(above) == own);
    V found = {}, code_right = {}, code_left = {};
    if (reach.back) {
      // All other voxels before this one touch the middle one of the slice before, and all but the row below the
      // middle one above: they are joined through it.
      const T* const before = here - reach.back;
      const V centre = (V)(load<V>(before) == own);
      const T* const row3 = before + reach.step_y;
      const T* const row2 = before - reach.step_y;
      meet(row3, 3, own, (V)(load<V>(row3) == own), ~centre & inside, begins, found, code_right, code_left);
      meet(row2, 2, own, (V)(load<V>(row2) == own), ~(centre | middle) & inside, begins, found, code_right, code_left);
      meet(before, 1, own, centre, (centre | ~middle) & inside, begins, found, code_right, code_left);
      meet(above, 0, own, middle, ~centre & inside, begins, found, code_right, code_left);
    } else {
      meet(above, 0, own, middle, inside, begins, found, code_right, code_left);
    }
    V first = V{} + static_cast<T>(kNew);
    if (reach.alone) {
      V later = (V)(load<V>(here + 1) == own) | touch(here + reach.step_y, own);
      if (reach.ahead) {
        const T* const ahead = here + reach.ahead;
        later |= touch(ahead - reach.step_y, own) | touch(ahead, own) | touch(ahead + reach.step_y, own);
      }
      first &= later;
    }
    first = code_right != none ? code_right : first;
    first = code_left != none ? code_left : first;
    first = like != none ? V{} + static_cast<T>(kBefore) : first;
    const V others = like != none ? found : found & (found - static_cast<T>(1));
    store_bytes<kLanes, T>(code + x, first & inside);
    store_bytes<kLanes, T>(more + x, others);
    mark(any, x, bits_of<kLanes, T>((V)(others != none)));
  }
  void one(std::int64_t x) { run<1>(x); }
};

template <class T>
void meet(const T* at, const Reach& reach, std::uint8_t* code, std::uint8_t* more, std::uint64_t* any, std::int64_t n) {
  for (std::int64_t word = 0; word < n / 64 + 2; ++word) any[word] = 0;
  Meet<T> block{at, reach, code, more, any};
  blocks<T>(n, block);
}

}  // namespace

extern const RowTable8 rows8;
extern const RowTable16 rows16;
const RowTable8 rows8 = {cells<std::uint8_t, std::uint16_t>,
                         cells<std::uint8_t, std::uint32_t>,
                         around<std::uint8_t>,
                         extend<std::uint8_t>,
                         places,
                         meet<std::uint8_t>};
const RowTable16 rows16 = {cells<std::uint16_t, std::uint16_t>,
                           cells<std::uint16_t, std::uint32_t>,
                           around<std::uint16_t>,
                           extend<std::uint16_t>,
                           places,
                           meet<std::uint16_t>};

}  // namespace fastimg::radiomics::FASTIMG_LEVEL
