// Counting by integer atomics, exact, so the order of the additions does not matter. Moments: a partial result a block;
// the caller adds them.
//
// Limit: the reading of memory. At 2.4 TB/s a multiprocessor of an H100 meets 5 voxels of 16 bits a clock or 2.6 of 32,
// and can issue 128 lanes' instructions: a voxel takes 6.5 and 20. An addition of 1 to shared memory whose result
// nobody wants costs a warp one clock for each place that it meets in the busiest bank, and equal places count as one
// (ATOMS.POPC.INC; measured: one address 1.0 clock, normal about one bin in 20 2.3, 4,096 bins at random 3.5; adding
// any other number to one address 32). So one table a block is enough, and equal neighbours need no care.
#include "fastimg/entries.cuh"
#include "fastimg/histogram.cuh"

namespace {

using fastimg::i32;
using fastimg::i64;
using fastimg::u32;
using fastimg::u64;
using fastimg::u8;

// Threads of a block and blocks that a multiprocessor's registers hold; the grid is all of them at once (_cuda.py).
constexpr int kThreads = 512;
template <class T>
constexpr int kBlocks = sizeof(T) == 4 ? 3 : 2;

// What values are compared in.
template <class T>
struct Real {
  using Kind = double;
};
template <>
struct Real<float> {
  using Kind = float;
};

struct Direct {
  u32 origin;  // modulo 2^32, as the index
  template <class T>
  __device__ u32 operator()(T x) const {
    return (u32)x - origin;
  }
};
template <class T>
struct Fixed {
  using Border = typename Real<T>::Kind;
  Border least, most;
  double low, scale;
  int bins;
  __device__ Fixed(double low, double high, double scale, int bins) : low(low), scale(scale), bins(bins) {
    if constexpr (sizeof(Border) == 4) {
      least = __double2float_ru(low);
      most = __double2float_rd(high);
    } else {
      least = low;
      most = high;
    }
  }
  __device__ u32 operator()(T x) const { return fastimg::fixed_bin_between((Border)x, least, most, low, scale, bins); }
};
struct Power {
  double inverse, base;
  int bins;
  template <class T>
  __device__ u32 operator()(T x) const {
    return fastimg::power_bin((double)x, inverse, base, bins);
  }
};

template <class T, int kSize>
struct alignas(sizeof(T) * kSize) Some {
  T x[kSize];
};

struct Mask {
  const unsigned char* byte;
  bool used, aligned;
  __device__ Mask(const unsigned char* mask, int masked) : byte(mask), used(masked), aligned(((u64)mask & 15) == 0) {}
  // A bit a voxel.
  template <int kSize>
  __device__ u32 of(i64 first) const {
    Some<u8, kSize> here;
    if (aligned) {
      here = *(const Some<u8, kSize>*)(byte + first);
    } else {
#pragma unroll
      for (int k = 0; k < kSize; ++k) here.x[k] = byte[first + k];
    }
    u32 bits = 0;
#pragma unroll
    for (int k = 0; k < kSize; ++k) bits |= here.x[k] ? 1u << k : 0;
    return bits;
  }
};

// The grid reads the whole: work(values, mask bits) for 16 bytes of them, and one by one what is left. kLoads loads of
// a thread are under way before the first is used.
template <int kLoads, class T, class Work>
__device__ __forceinline__ void read(const T* in, i64 length, const Work& work) {
  constexpr int kSize = 16 / sizeof(T);
  using Pack = Some<T, kSize>;
  const Pack* const from = (const Pack*)in;
  const i64 packs = ((u64)in & 15) == 0 ? length / kSize : 0;
  const int wide = (int)blockDim.x;
  i64 p = (i64)blockIdx.x * (wide * kLoads) + threadIdx.x;
  for (; p + (kLoads - 1) * wide < packs; p += (i64)gridDim.x * (wide * kLoads)) {
    Pack some[kLoads];
#pragma unroll
    for (int n = 0; n < kLoads; ++n) some[n] = from[p + n * wide];
#pragma unroll
    for (int n = 0; n < kLoads; ++n) work(some[n], (p + n * wide) * kSize);
  }
#pragma unroll 1
  for (int n = 0; n < kLoads && p < packs; ++n, p += wide) work(from[p], p * kSize);
  for (i64 i = packs * kSize + (i64)blockIdx.x * wide + threadIdx.x; i < length; i += (i64)gridDim.x * wide)
    work(Some<T, 1>{{in[i]}}, i);
}
template <class T, class Work>
__device__ __forceinline__ void read_all(const T* in, const Mask& mask, i64 length, const Work& work) {
  if (mask.used) {
    read<1>(in, length, [&](const auto& values, i64 at) { work(values, mask.of<sizeof(values) / sizeof(T)>(at)); });
  } else {
    constexpr int kLoads = sizeof(T) == 1 ? 1 : 4;  // one of 8 bits has sixteen values, and registers for no more
    read<kLoads>(in, length, [&](const auto& values, i64) { work(values, (1u << sizeof(values) / sizeof(T)) - 1); });
  }
}

// A block counts the bins [first, first + size) in shared memory, the few values elsewhere in global memory: in shared
// memory they all go to one place more, so that no branch stands between the additions.
template <class T, class Index>
__device__ void count(const T* in, const Mask& mask, i64 length, const Index& index, u64* counts, u32 first, u32 size) {
  FASTIMG_DYNAMIC_SHARED(u32, local);
  for (u32 i = threadIdx.x; i <= size; i += blockDim.x) local[i] = 0;
  __syncthreads();
  read_all(in, mask, length, [&](const auto& values, u32 inside) {
    constexpr int kSize = sizeof(values) / sizeof(T);
    u32 place[kSize], most = 0;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      place[k] = inside >> k & 1 ? index(values.x[k]) - first : ~0u;
      most = place[k] > most ? place[k] : most;
      atomicAdd(local + (place[k] < size ? place[k] : size), 1u);
    }
    if (most < size) return;
#pragma unroll
    for (int k = 0; k < kSize; ++k)
      if (place[k] >= size && inside >> k & 1) atomicAdd(counts + (u32)(place[k] + first), (u64)1);
  });
  __syncthreads();
  for (u32 i = threadIdx.x; i < size; i += blockDim.x)
    if (local[i]) atomicAdd(counts + first + i, (u64)local[i]);
}

// What deviations are added up in: whole numbers of 8 and 16 bits exactly.
template <class T, int kBytes = sizeof(T)>
struct Sums {
  using One = double;
  using Square = double;
  using Extreme = typename Real<T>::Kind;
};
template <class T>
struct Sums<T, 1> {
  using One = int;
  using Square = i64;
  using Extreme = int;
};
template <class T>
struct Sums<T, 2> : Sums<T, 1> {};

// Count, others, sum and sum of squares about `shift` (whole for whole numbers), least and greatest: one reading, a
// partial result a block.
template <class T>
__device__ void sums(const T* in, const Mask& mask, i64 length, double shift, double* part) {
  constexpr int kParts = 6;
  using Kind = Sums<T>;
  __shared__ double all[kParts * kThreads];
  u32 n = 0, bad = 0;
  double t = 0, s = 0;
  constexpr double kFar = sizeof(T) <= 2                        ? 65536.0
                          : sizeof(typename Kind::Extreme) == 4 ? 3.4028234663852886e38
                                                                : 1.7976931348623157e308;
  auto a = (typename Kind::Extreme)kFar, b = -a;
  const auto middle = (typename Kind::One)shift;
  read_all(in, mask, length, [&](const auto& values, u32 inside) {
    constexpr int kSize = sizeof(values) / sizeof(T);
    typename Kind::One apart = 0;
    typename Kind::Square squares = 0;
    const auto add = [&](T value) {
      const auto x = (typename Kind::Extreme)value;
      if (!(x - x == 0)) {
        ++bad;
        return;
      }
      const auto d = (typename Kind::One)x - middle;
      ++n;
      apart += d;
      squares += (typename Kind::Square)d * d;
      a = x < a ? x : a;
      b = x > b ? x : b;
    };
#pragma unroll
    for (int k = 0; k < kSize; ++k)
      if (inside >> k & 1) add(values.x[k]);
    t += (double)apart;
    s += (double)squares;
  });
  double* const own = all + threadIdx.x * kParts;
  own[0] = n;
  own[1] = bad;
  own[2] = t;
  own[3] = s;
  own[4] = n ? (double)a : 1.7976931348623157e308;
  own[5] = n ? (double)b : -1.7976931348623157e308;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x >= half) continue;
    const double* const other = own + half * kParts;
    for (int k = 0; k < 4; ++k) own[k] += other[k];
    own[4] = other[4] < own[4] ? other[4] : own[4];
    own[5] = other[5] > own[5] ? other[5] : own[5];
  }
  if (threadIdx.x == 0)
    for (int k = 0; k < kParts; ++k) part[blockIdx.x * kParts + k] = own[k];
}

// Order statistics by the digits of keys (kernels/fastimg/histogram.cuh: ordered), 12 bits in the first reading and 10
// or 11 in each other, without the host: `digits` counts the next digit of the keys that begin with one of the prefixes
// found so far, `place` looks each rank up in these counts. The first digit holds a float's sign and exponent, so
// infinities and NaN have digits of their own.
constexpr int kDigits = 1 << 12, kRanks = 128;

// The distinct ones of `ranks` <= kRanks prefixes, increasing, to `list`; returns how many. `own`: which is `mine`.
template <class U>
__device__ int distinct(const U* prefix, int ranks, U* list, U mine, int* own) {
  __shared__ U all[kRanks];
  __shared__ int is_first[kRanks], number;
  for (int r = threadIdx.x; r < ranks; r += blockDim.x) all[r] = prefix[r];
  if (threadIdx.x == 0) number = 0;
  __syncthreads();
  for (int r = threadIdx.x; r < ranks; r += blockDim.x) {
    int fresh = 1;
    for (int k = 0; k < r; ++k) fresh = all[k] == all[r] ? 0 : fresh;
    is_first[r] = fresh;
    if (fresh) atomicAdd(&number, 1);
  }
  __syncthreads();
  const auto place_of = [&](U value) {
    int place = 0;
    for (int k = 0; k < ranks; ++k) place += is_first[k] && all[k] < value ? 1 : 0;
    return place;
  };
  for (int r = threadIdx.x; r < ranks; r += blockDim.x)
    if (is_first[r]) list[place_of(all[r])] = all[r];
  *own = place_of(mine);
  __syncthreads();
  return number;
}

// counts[prefix][digit], digit = the `bits` bits above `shift`; first: of all keys. The first `held` >> bits prefixes
// are counted in shared memory.
template <class U>
__device__ void digits(const U* in, const Mask& mask, i64 length, int shift, int bits, int first, const U* prefix,
                       int ranks, u64* counts, int held) {
  FASTIMG_DYNAMIC_SHARED(u32, local);
  __shared__ U list[kRanks];
  int own = 0;
  const int number = first ? 1 : distinct(prefix, ranks, list, prefix[0], &own);
  for (int i = threadIdx.x; i < kRanks; i += blockDim.x)
    if (first || i >= number) list[i] = first ? 0 : ~(U)0;  // above any prefix, which has fewer bits
  const int here = (held >> bits) < number ? held >> bits : number;
  for (int i = threadIdx.x; i < here << bits; i += blockDim.x) local[i] = 0;
  __syncthreads();
  const u32 digit_mask = (1u << bits) - 1;
  int reach = 1;
  while (reach < number) reach *= 2;
  read_all(in, mask, length, [&](const auto& values, u32 inside) {
    constexpr int kSize = sizeof(values) / sizeof(U);
    U key[kSize];
    u32 low[kSize];
#pragma unroll
    for (int k = 0; k < kSize; ++k) key[k] = fastimg::ordered(values.x[k]) >> shift, low[k] = 0;
#pragma unroll 1
    for (int half = reach / 2; half > 0; half /= 2)
#pragma unroll
      for (int k = 0; k < kSize; ++k) low[k] += list[low[k] + half - 1] < key[k] >> bits ? half : 0;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      if (!(inside >> k & 1) || (!first && list[low[k]] != key[k] >> bits)) continue;
      const u32 digit = (u32)key[k] & digit_mask;
      if ((int)low[k] < here)
        atomicAdd(local + ((low[k] << bits) | digit), 1u);
      else
        atomicAdd(counts + (i64)low[k] * kDigits + digit, (u64)1);
    }
  });
  __syncthreads();
  for (int i = threadIdx.x; i < here << bits; i += blockDim.x)
    if (local[i]) atomicAdd(counts + (i64)(i >> bits) * kDigits + (i & (int)digit_mask), (u64)local[i]);
}

// A block of up to 256 threads, a power of two, a rank: its next digit and its rank among the keys with this digit.
// Ranks: floor(q (n - 1)) of the n finite values for each q, then those above. The first time, finite digits are [low,
// high), totals: (n, others).
template <class U>
__device__ void place(const u64* counts, int bits, int first, int low, int high, const double* q, int number,
                      i64* totals, const U* before, U* after, i64* rank) {
  const int each = kDigits / blockDim.x, r = blockIdx.x;
  __shared__ U list[kRanks];
  __shared__ u64 sums[2][256];
  __shared__ u64 others;
  int slot = 0;
  if (!first) distinct(before, 2 * number, list, before[r], &slot);
  const u64* const row = counts + (i64)slot * kDigits + threadIdx.x * each;
  if (threadIdx.x == 0) others = 0;
  __syncthreads();
  u64 own = 0, out = 0;
  for (int k = 0; k < each; ++k) {
    const int digit = threadIdx.x * each + k;
    const bool counted = !first || (digit >= low && digit < high);
    own += counted ? row[k] : 0;
    out += counted ? 0 : row[k];
  }
  if (out) atomicAdd(&others, out);
  int from = 0;
  sums[0][threadIdx.x] = own;
  for (int reach = 1; reach < (int)blockDim.x; reach *= 2, from ^= 1) {
    __syncthreads();
    const u64 other = (int)threadIdx.x >= reach ? sums[from][threadIdx.x - reach] : 0;
    sums[from ^ 1][threadIdx.x] = sums[from][threadIdx.x] + other;
  }
  __syncthreads();
  const i64 total = (i64)sums[from][blockDim.x - 1];
  if (first && r == 0 && threadIdx.x == 0) totals[0] = total, totals[1] = (i64)others;
  if (total == 0) return;
  i64 wanted;
  if (first) {
    wanted = (i64)(q[r % number] * (double)(total - 1));
    if (r >= number && wanted + 1 < total) ++wanted;
  } else {
    wanted = rank[r];
  }
  __syncthreads();  // the rank has been read by all before one thread changes it
  const i64 end = (i64)sums[from][threadIdx.x], begin = end - (i64)own;
  if (wanted < begin || wanted >= end) return;
  i64 left = wanted - begin;
  for (int k = 0; k < each; ++k) {
    const int digit = threadIdx.x * each + k;
    const i64 here = !first || (digit >= low && digit < high) ? (i64)row[k] : 0;
    if (left < here) {
      after[r] = first ? (U)digit : (U)(before[r] << bits | (U)digit);
      rank[r] = left;
      return;
    }
    left -= here;
  }
}

}  // namespace

#define FASTIMG_VOXEL(name, T)                                                                                         \
  FASTIMG_WANTED(                                                                                                      \
      fixed_##name,                                                                                                    \
      extern "C" __global__ void __launch_bounds__(kThreads, kBlocks<typename Real<T>::Kind>)                          \
          fixed_##name(const T* in, const unsigned char* mask, int masked, long long length, double low, double high,  \
                       double scale, int bins, unsigned long long* counts, int first, int size) {                      \
            count(in, Mask(mask, masked), length, Fixed<T>(low, high, scale, bins), counts, first, size);              \
          })                                                                                                           \
  FASTIMG_WANTED(                                                                                                      \
      sums_##name, extern "C" __global__ void __launch_bounds__(kThreads, kBlocks<T>)                                  \
                       sums_##name(const T* in, const unsigned char* mask, int masked, long long length, double shift, \
                                   double* part) { sums(in, Mask(mask, masked), length, shift, part); })
#define FASTIMG_WHOLE(name, T)                                                                               \
  FASTIMG_VOXEL(name, T)                                                                                     \
  FASTIMG_WANTED(                                                                                            \
      direct_##name, extern "C" __global__ void __launch_bounds__(kThreads, kBlocks<T>)                      \
                         direct_##name(const T* in, const unsigned char* mask, int masked, long long length, \
                                       long long origin, unsigned long long* counts, int first, int size) {  \
                           count(in, Mask(mask, masked), length, Direct{(u32)origin}, counts, first, size);  \
                         })
#define FASTIMG_REAL(name, T)                                                                                 \
  FASTIMG_VOXEL(name, T)                                                                                      \
  FASTIMG_WANTED(                                                                                             \
      power_##name, extern "C" __global__ void __launch_bounds__(kThreads, kBlocks<T>) power_##name(          \
                        const T* in, const unsigned char* mask, int masked, long long length, double inverse, \
                        double base, int bins, unsigned long long* counts, int first, int size) {             \
        count(in, Mask(mask, masked), length, Power{inverse, base, bins}, counts, first, size);               \
      })
FASTIMG_WHOLE(int8, signed char)
FASTIMG_WHOLE(uint8, unsigned char)
FASTIMG_WHOLE(int16, short)
FASTIMG_WHOLE(uint16, unsigned short)
FASTIMG_WHOLE(int32, int)
FASTIMG_WHOLE(uint32, unsigned int)
FASTIMG_WHOLE(int64, long long)
FASTIMG_WHOLE(uint64, unsigned long long)
FASTIMG_REAL(float32, float)
FASTIMG_REAL(float64, double)
#define FASTIMG_KEYS(name, U)                                                                                       \
  FASTIMG_WANTED(                                                                                                   \
      digits_##name, extern "C" __global__ void __launch_bounds__(kThreads, kBlocks<U>) digits_##name(              \
                         const U* in, const unsigned char* mask, int masked, long long length, int shift, int bits, \
                         int first, const U* prefix, int ranks, unsigned long long* counts, int held) {             \
        digits(in, Mask(mask, masked), length, shift, bits, first, prefix, ranks, counts, held);                    \
      })                                                                                                            \
  FASTIMG_WANTED(                                                                                                   \
      place_##name, extern "C" __global__ void place_##name(                                                        \
                        const unsigned long long* counts, int bits, int first, int low, int high, const double* q,  \
                        int number, long long* totals, const U* before, U* after, long long* rank) {                \
        place(counts, bits, first, low, high, q, number, totals, before, after, rank);                              \
      })
FASTIMG_KEYS(uint32, unsigned int)
FASTIMG_KEYS(uint64, unsigned long long)
