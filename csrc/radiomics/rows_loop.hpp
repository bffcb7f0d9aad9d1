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

template <class T>
struct Extend {
  const T* at;
  std::int64_t step;
  const T* before_length;
  T* length;
  std::uint64_t* ends;

  void mark(std::int64_t x, std::uint64_t bits) {
    const std::int64_t word = x >> 6, bit = x & 63;
    ends[word] |= bits << bit;
    if (bit) ends[word + 1] |= bits >> (64 - bit);
  }
  template <int kLanes>
  __attribute__((always_inline)) void run(std::int64_t x) {
    using V = typename Lanes<T, kLanes>::type;
    const V zero = {}, own = load<V>(at + x), so_far = load<V>(before_length + x);
    const V most = V{} + static_cast<T>(-1);
    const V equal = (V)(load<V>(at + x - step) == own);
    store(length + x, (V)(((so_far - (V)(so_far != most)) & equal) | (~equal & (V{} + static_cast<T>(1)))));
    mark(x, bits_of<kLanes, T>(equal & (V)(load<V>(at + x + step) != own) & (V)(own != zero)));
  }
  void one(std::int64_t x) {
    const bool equal = at[x - step] == at[x];
    length[x] = static_cast<T>(equal ? before_length[x] + (before_length[x] != static_cast<T>(-1)) : 1);
    mark(x, equal & (at[x + step] != at[x]) & (at[x] != 0));
  }
};

template <class T>
void extend(const T* at, std::int64_t step, const T* before_length, T* length, std::uint64_t* ends, std::int64_t n) {
  for (std::int64_t word = 0; word < n / 64 + 2; ++word) ends[word] = 0;
  Extend<T> block{at, step, before_length, length, ends};
  blocks<T>(n, block);
}

template <class T>
struct Meet {
  const T* at;
  const T* const* rows;
  int count;
  std::uint8_t* meets;

  template <int kLanes>
  __attribute__((always_inline)) void run(std::int64_t x) {
    using V = typename Lanes<T, kLanes>::type;
    const V own = load<V>(at + x), begins = (V)(load<V>(at + x - 1) != own);
    V found = {};
    for (int r = 0; r < count; ++r) {
      const T* row = rows[r] + x;
      const V left = (V)(load<V>(row - 1) == own), middle = (V)(load<V>(row) == own);
      const V right = (V)(load<V>(row + 1) == own);
      found |= (left | middle) & begins & (V{} + static_cast<T>(1u << r));
      found |= right & ~middle & (V{} + static_cast<T>(16u << r));
    }
    if constexpr (sizeof(T) == 1) {
      store(meets + x, found);
    } else {
      T wide[kLanes];
      store(wide, found);
      for (int j = 0; j < kLanes; ++j) meets[x + j] = static_cast<std::uint8_t>(wide[j]);
    }
  }
  void one(std::int64_t x) {
    const bool begins = at[x - 1] != at[x];
    unsigned found = 0;
    for (int r = 0; r < count; ++r) {
      const T* row = rows[r] + x;
      const bool middle = row[0] == at[x];
      if (begins & (middle | (row[-1] == at[x]))) found |= 1u << r;
      if (!middle & (row[1] == at[x])) found |= 16u << r;
    }
    meets[x] = static_cast<std::uint8_t>(found);
  }
};

template <class T>
void meet(const T* at, const T* const* rows, int count, std::uint8_t* meets, std::int64_t n) {
  Meet<T> block{at, rows, count, meets};
  blocks<T>(n, block);
}

}  // namespace

extern const RowTable8 rows8;
extern const RowTable16 rows16;
const RowTable8 rows8 = {cells<std::uint8_t, std::uint16_t>, cells<std::uint8_t, std::uint32_t>, around<std::uint8_t>,
                         extend<std::uint8_t>, meet<std::uint8_t>};
const RowTable16 rows16 = {cells<std::uint16_t, std::uint16_t>, cells<std::uint16_t, std::uint32_t>,
                           around<std::uint16_t>, extend<std::uint16_t>, meet<std::uint16_t>};

}  // namespace fastimg::radiomics::FASTIMG_LEVEL
