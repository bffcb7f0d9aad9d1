// Included once in each level's region: no include guard, no standard header.
#include "fastimg/histogram.cuh"

namespace fastimg::histogram::FASTIMG_LEVEL {
namespace {

constexpr int kRoom = 1024;  // values a chunk: two readings, the second from the first-level cache

// 8 and 16 bits: sums of 256 values at a time, which fit 32 bits where |x| < 4096; else x = 256 h + l and
// x^2 = 65536 h^2 + 512 h l + l^2, whose three sums fit.
template <class T>
inline __attribute__((always_inline)) void add_block(const T* __restrict x, int n, bool narrow, std::int64_t* sum,
                                                     std::uint64_t* squares) {
  std::int32_t s = 0;
  for (int i = 0; i < n; ++i) s += x[i];
  *sum += s;
  if (narrow) {
    std::uint32_t q = 0;
    for (int i = 0; i < n; ++i) {
      const std::int32_t v = x[i];
      q += static_cast<std::uint32_t>(v * v);
    }
    *squares += q;
    return;
  }
  std::int32_t hh = 0, hl = 0, ll = 0;
  for (int i = 0; i < n; ++i) {
    const std::int32_t v = x[i], h = v >> 8, l = v & 255;
    hh += h * h;
    hl += h * l;
    ll += l * l;
  }
  *squares +=
      static_cast<std::uint64_t>(65536 * static_cast<std::int64_t>(hh) + 512 * static_cast<std::int64_t>(hl) + ll);
}

template <class T>
WholeMoments whole_row(const T* __restrict in, const std::uint8_t* __restrict mask, std::int64_t count) {
  constexpr int kBlock = 256;
  constexpr int kLeast = static_cast<T>(-1) < 0 ? -(1 << (8 * sizeof(T) - 1)) : 0;
  constexpr int kMost = kLeast + (1 << (8 * sizeof(T))) - 1;
  alignas(64) T chosen[kRoom];
  WholeMoments all;
  int low = kMost, high = kLeast;
  for (std::int64_t begin = 0; begin < count; begin += kRoom) {
    const int n = static_cast<int>(count - begin < kRoom ? count - begin : kRoom);
    const T* __restrict x = in + begin;
    int inside = n;
    T a = static_cast<T>(kMost), b = static_cast<T>(kLeast);
    if (mask) {
      const std::uint8_t* __restrict m = mask + begin;
      inside = 0;
      for (int i = 0; i < n; ++i) inside += m[i] != 0;
      if (inside == 0) continue;
      if (inside < n) {
        for (int i = 0; i < n; ++i) {
          const T least = m[i] ? x[i] : static_cast<T>(kMost), most = m[i] ? x[i] : static_cast<T>(kLeast);
          a = least < a ? least : a;
          b = most > b ? most : b;
        }
        for (int i = 0; i < n; ++i) chosen[i] = m[i] ? x[i] : T{0};
        x = chosen;
      }
    }
    if (inside == n)
      for (int i = 0; i < n; ++i) {
        a = x[i] < a ? x[i] : a;
        b = x[i] > b ? x[i] : b;
      }
    low = a < low ? a : low;
    high = b > high ? b : high;
    const bool narrow = a > -4096 && b < 4096;
    if (n == kRoom) {
      for (int i = 0; i < kRoom; i += kBlock) add_block(x + i, kBlock, narrow, &all.sum, &all.squares);
    } else {
      for (int i = 0; i < n; i += kBlock)
        add_block(x + i, n - i < kBlock ? n - i : kBlock, narrow, &all.sum, &all.squares);
    }
    all.count += inside;
  }
  all.min = low;
  all.max = high;
  return all;
}

// Wider types: 32 running sums, a lane each, whatever the register's width: the same bits at every level.
constexpr int kWide = 32;
#if defined(FASTIMG_AVX512)
constexpr int kBytes = 64;
#elif defined(FASTIMG_AVX2)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef double Piece __attribute__((vector_size(kBytes)));  // a register
constexpr int kPer = kBytes / 8, kPieces = kWide / kPer;
typedef float FloatHalf __attribute__((vector_size(kBytes / 2)));  // as many values as a Piece
typedef float FloatPiece __attribute__((vector_size(kBytes)));

template <class Register, class T>
inline __attribute__((always_inline)) Register unaligned(const T* x) {
  Register v;
  __builtin_memcpy(&v, x, sizeof v);
  return v;
}
inline __attribute__((always_inline)) Piece load(const float* x) {
  return __builtin_convertvector(unaligned<FloatHalf>(x), Piece);
}
inline __attribute__((always_inline)) Piece load(const double* x) { return unaligned<Piece>(x); }

// s[i] + s[i + half] for half = 16, 8, 4, 2, 1: whole registers first, which is the same tree.
inline __attribute__((always_inline)) double tree(const Piece* lanes) {
  Piece some[kPieces];
  for (int k = 0; k < kPieces; ++k) some[k] = lanes[k];
  for (int half = kPieces / 2; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) some[k] = some[k] + some[k + half];
  double s[kPer];
  for (int i = 0; i < kPer; ++i) s[i] = some[0][i];
  for (int half = kPer / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) s[i] = s[i] + s[i + half];
  return s[0];
}

// Least and greatest of whole chunks so far, in registers of the values' own type: compared across at the end of a row.
template <class T>
struct Ends {
  using Register = Piece;
  Register low[2], high[2];
};
template <>
struct Ends<float> {
  using Register = FloatPiece;
  Register low[2], high[2];
};

template <class T>
inline __attribute__((always_inline)) Ends<T> no_ends() {
  using Register = typename Ends<T>::Register;
  const auto most = static_cast<std::remove_reference_t<decltype(Register{}[0])>>(__builtin_inf());
  Ends<T> ends;
  for (int k = 0; k < 2; ++k) ends.low[k] = Register{} + most, ends.high[k] = Register{} - most;
  return ends;
}

template <class T>
inline void widen(const Ends<T>& ends, Moments& all) {
  constexpr int kLanes = sizeof(ends.low[0]) / sizeof(ends.low[0][0]);
  for (int k = 0; k < 2; ++k)
    for (int l = 0; l < kLanes; ++l) {
      all.min = ends.low[k][l] < all.min ? ends.low[k][l] : all.min;
      all.max = ends.high[k][l] > all.max ? ends.high[k][l] : all.max;
    }
}

inline __attribute__((always_inline)) void join(Moments& all, const Moments& part) {
  Moments both = part;
  both.skipped = all.skipped;
  if (all.count) {
    const double na = static_cast<double>(all.count), nb = static_cast<double>(part.count), n = na + nb;
    const double apart = part.mean - all.mean;
    both.mean = all.mean + apart * (nb / n);
    both.m2 = all.m2 + part.m2 + apart * apart * (na * nb / n);
    both.min = all.min < part.min ? all.min : part.min;
    both.max = all.max > part.max ? all.max : part.max;
    both.count += all.count;
  }
  all = both;
}

// A whole chunk that counts: false if a value is not finite (then the sum is not) and nothing was done. `wide` takes
// the values as float64: to read them there costs less than to convert them again. Chunks to come are asked for into
// the second-level cache, of which the processor's own look ahead is short.
template <class T>
inline __attribute__((always_inline)) bool whole_chunk(const T* __restrict x, double* __restrict wide, Moments& all,
                                                       Ends<T>& ends) {
  using Register = typename Ends<T>::Register;
  constexpr int kLanes = sizeof(Register) / sizeof(T);
  Piece total[kPieces] = {};
  for (int i = 0; i < kRoom; i += kWide)
    for (int k = 0; k < kPieces; ++k) {
      const Piece v = load(x + i + k * kPer);
      if (sizeof(T) < 8) *reinterpret_cast<Piece*>(wide + i + k * kPer) = v;
      total[k] += v;
    }
  const double sum = tree(total);
  if (!fastimg::is_finite(sum)) return false;
  Moments part;
  part.count = kRoom;
  part.mean = sum / static_cast<double>(kRoom);
  part.min = __builtin_inf();
  part.max = -__builtin_inf();
  Piece square[kPieces] = {};
  Ends<T> some = ends;
  for (int i = 0; i < kRoom; i += kWide) {
    for (int line = 0; line < kWide; line += 64 / static_cast<int>(sizeof(T)))
      __builtin_prefetch(x + 2 * kRoom + i + line, 0, 2);
    for (int k = 0; k < kPieces; ++k) {
      const Piece d =
          (sizeof(T) < 8 ? *reinterpret_cast<const Piece*>(wide + i + k * kPer) : load(x + i + k * kPer)) - part.mean;
      square[k] += d * d;
    }
    for (int k = 0; k < kWide / kLanes; ++k) {
      const Register v = unaligned<Register>(x + i + k * kLanes);
      some.low[k % 2] = v < some.low[k % 2] ? v : some.low[k % 2];
      some.high[k % 2] = v > some.high[k % 2] ? v : some.high[k % 2];
    }
  }
  ends = some;
  part.m2 = tree(square);
  join(all, part);
  return true;
}

template <class T>
Moments moments_row(const T* __restrict in, const std::uint8_t* __restrict mask, std::int64_t count) {
  alignas(64) double value[kRoom];
  alignas(64) double weight[kRoom];
  Moments all;
  Ends<T> ends = no_ends<T>();
  for (std::int64_t begin = 0; begin < count; begin += kRoom) {
    const int n = static_cast<int>(count - begin < kRoom ? count - begin : kRoom);
    const T* __restrict x = in + begin;
    const int padded = (n + kWide - 1) / kWide * kWide;
    std::int64_t inside = n;
    if (mask) {
      const std::uint8_t* __restrict m = mask + begin;
      inside = 0;
      for (int i = 0; i < n; ++i) inside += m[i] != 0;
      if (inside == 0) continue;
    }
    if constexpr (T(0.5) != T(0))  // floats
      if (inside == kRoom && whole_chunk(x, value, all, ends)) continue;
    if (inside < n) {
      const std::uint8_t* __restrict m = mask + begin;
      for (int i = 0; i < n; ++i) {
        const double v = static_cast<double>(x[i]);
        const bool good = fastimg::is_finite(v) & (m[i] != 0);
        weight[i] = good ? 1.0 : 0.0;
        value[i] = good ? v : 0.0;
      }
    } else {
      for (int i = 0; i < n; ++i) {
        const double v = static_cast<double>(x[i]);
        const bool good = fastimg::is_finite(v);
        weight[i] = good ? 1.0 : 0.0;
        value[i] = good ? v : 0.0;
      }
    }
    for (int i = n; i < padded; ++i) value[i] = weight[i] = 0.0;
    const Piece* const v = reinterpret_cast<const Piece*>(value);
    const Piece* const w = reinterpret_cast<const Piece*>(weight);
    const int steps = padded / kPer;
    Piece number[kPieces] = {}, total[kPieces] = {};
    for (int i = 0; i < steps; i += kPieces)
      for (int k = 0; k < kPieces; ++k) {
        number[k] += w[i + k];
        total[k] += v[i + k];
      }
    const double good = tree(number);
    all.skipped += inside - static_cast<std::int64_t>(good);
    if (good == 0.0) continue;
    Moments part;
    part.count = static_cast<std::int64_t>(good);
    part.mean = tree(total) / good;
    const Piece most = Piece{} + __builtin_inf(), least = Piece{} - __builtin_inf();
    Piece low[kPieces], high[kPieces], square[kPieces] = {};
    for (int k = 0; k < kPieces; ++k) {
      low[k] = most;
      high[k] = least;
    }
    for (int i = 0; i < steps; i += kPieces)
      for (int k = 0; k < kPieces; ++k) {
        const Piece here = v[i + k], d = (here - part.mean) * w[i + k];
        square[k] += d * d;
        const Piece below = w[i + k] != 0.0 ? here : most, above = w[i + k] != 0.0 ? here : least;
        low[k] = below < low[k] ? below : low[k];
        high[k] = above > high[k] ? above : high[k];
      }
    part.m2 = tree(square);
    part.min = low[0][0];
    part.max = high[0][0];
    for (int l = 1; l < kWide; ++l) {
      const double a = low[l / kPer][l % kPer], b = high[l / kPer][l % kPer];
      part.min = a < part.min ? a : part.min;
      part.max = b > part.max ? b : part.max;
    }
    join(all, part);
  }
  if (all.count) widen(ends, all);
  all.min += 0.0;  // -0 becomes 0: which of them came first depends on the register's width
  all.max += 0.0;
  return all;
}

}  // namespace

extern const MomentsTable moments_table;
const MomentsTable moments_table = {
#define FASTIMG_FIELD(T, name) whole_row<T>,
    FASTIMG_EACH_SMALL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
#define FASTIMG_FIELD(T, name) moments_row<T>,
        FASTIMG_EACH_WIDE(FASTIMG_FIELD)
#undef FASTIMG_FIELD
};

}  // namespace fastimg::histogram::FASTIMG_LEVEL
