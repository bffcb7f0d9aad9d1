// Counting by integer atomics, exact, so the order of the additions does not matter. Moments: a partial result a block;
// the caller adds them.
#include "fastimg/histogram.cuh"

namespace {

using fastimg::i32;
using fastimg::i64;
using fastimg::u32;
using fastimg::u64;
using fastimg::u8;

struct Direct {
  i64 origin;
  template <class T>
  __device__ u32 operator()(T x) const {
    return (u32)((u64)x - (u64)origin);
  }
};
struct Fixed {
  double low, high, scale;
  int bins;
  template <class T>
  __device__ u32 operator()(T x) const {
    return fastimg::fixed_bin((double)x, low, high, scale, bins);
  }
};
struct Power {
  double inverse, base;
  int bins;
  template <class T>
  __device__ u32 operator()(T x) const {
    return fastimg::power_bin((double)x, inverse, base, bins);
  }
};
// Sixteen bytes of voxels in one load.
template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T x[kSize];
};

// A block counts the bins [first, first + size) in shared memory, in `copies` interleaved tables (a power of two: lanes
// of a warp meet less often, with 32 never in one bank), the few values elsewhere in global memory. Equal neighbours
// are added at once.
template <class T, class Index>
__device__ void count(const T* in, const unsigned char* mask, int masked, i64 length, Index index, u64* counts,
                      int first, int size, int copies) {
  FASTIMG_DYNAMIC_SHARED(u32, local);
  for (int i = threadIdx.x; i < size * copies; i += blockDim.x) local[i] = 0;
  __syncthreads();
  const u32 mine = threadIdx.x & (u32)(copies - 1);
  const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  const bool aligned = ((u64)in & 15) == 0;
  const i64 packs = aligned ? length / Pack<T>::kSize : 0;
  u32 last = 0, run = 0;
  const auto put = [&](u32 bin, u32 times) {
    const u32 place = bin - (u32)first;
    if (place < (u32)size)
      atomicAdd(local + place * (u32)copies + mine, times);
    else
      atomicAdd(counts + bin, (u64)times);
  };
  const auto add = [&](T x) {
    const u32 bin = index(x);
    if (run && bin != last) {
      put(last, run);
      run = 0;
    }
    last = bin;
    ++run;
  };
  for (i64 p = thread; p < packs; p += step) {
    const Pack<T> pack = ((const Pack<T>*)in)[p];
    for (int k = 0; k < Pack<T>::kSize; ++k)
      if (!masked || mask[p * Pack<T>::kSize + k]) add(pack.x[k]);
  }
  for (i64 i = packs * Pack<T>::kSize + thread; i < length; i += step)
    if (!masked || mask[i]) add(in[i]);
  if (run) put(last, run);
  __syncthreads();
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    u64 sum = 0;
    for (int k = 0; k < copies; ++k) sum += local[i * copies + k];
    if (sum) atomicAdd(counts + first + i, sum);
  }
}

// Count, others, sum and sum of squares about `shift`, least and greatest: one reading, a partial result a block.
template <class T>
__device__ void sums(const T* in, const unsigned char* mask, int masked, i64 length, double shift, double* part) {
  const int kParts = 6;
  __shared__ double all[6 * 256];
  const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  double n = 0, bad = 0, t = 0, s = 0, a = 1.7976931348623157e308, b = -1.7976931348623157e308;
  const auto add = [&](T value) {
    const double x = (double)value;
    if (!fastimg::is_finite(x)) {
      bad += 1;
      return;
    }
    const double d = x - shift;
    n += 1;
    t += d;
    s += d * d;
    a = x < a ? x : a;
    b = x > b ? x : b;
  };
  const i64 packs = ((u64)in & 15) == 0 ? length / Pack<T>::kSize : 0;
  for (i64 p = thread; p < packs; p += step) {
    const Pack<T> pack = ((const Pack<T>*)in)[p];
    for (int k = 0; k < Pack<T>::kSize; ++k)
      if (!masked || mask[p * Pack<T>::kSize + k]) add(pack.x[k]);
  }
  for (i64 i = packs * Pack<T>::kSize + thread; i < length; i += step)
    if (!masked || mask[i]) add(in[i]);
  double* const own = all + threadIdx.x * kParts;
  own[0] = n;
  own[1] = bad;
  own[2] = t;
  own[3] = s;
  own[4] = a;
  own[5] = b;
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

// Order statistics by the digits of keys (kernels/fastimg/histogram.cuh: ordered), 12 bits a reading, without the host:
// `digits` counts the next digit of the keys that begin with one of the prefixes found so far, `place` looks each rank
// up in these counts. The first digit holds a float's sign and exponent, so infinities and NaN have digits of their
// own.
constexpr int kDigits = 1 << 12, kRanks = 128, kCopies = 2;

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

// counts[prefix][digit], digit = the `bits` bits above `shift`. first: all keys, counted in shared memory.
template <class U>
__device__ void digits(const U* in, const unsigned char* mask, int masked, i64 length, int shift, int bits, int first,
                       const U* prefix, int ranks, u64* counts) {
  __shared__ U list[kRanks];
  __shared__ u32 local[kDigits * kCopies];
  int own = 0;
  const int number = first ? 1 : distinct(prefix, ranks, list, prefix[0], &own);
  if (first)
    for (int i = threadIdx.x; i < kDigits * kCopies; i += blockDim.x) local[i] = 0;
  __syncthreads();
  const u32 digit_mask = (1u << bits) - 1, mine = threadIdx.x % kCopies;
  u32 last = 0, run = 0;
  const auto put = [&]() {
    if (!run) return;
    if (first)
      atomicAdd(local + last * kCopies + mine, run);
    else
      atomicAdd(counts + last, (u64)run);
    run = 0;
  };
  const auto add = [&](U x) {
    const U key = fastimg::ordered(x);
    u32 place = (u32)(key >> shift) & digit_mask;
    if (!first) {
      const U top = key >> shift >> bits;
      int low = 0, high = number;  // list[low - 1] < top <= list[high]
      while (low < high) {
        const int middle = (low + high) / 2;
        if (list[middle] < top)
          low = middle + 1;
        else
          high = middle;
      }
      if (low == number || list[low] != top) return;
      place += (u32)low * kDigits;
    }
    if (place != last) put();
    last = place;
    ++run;
  };
  const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  const i64 packs = ((u64)in & 15) == 0 ? length / Pack<U>::kSize : 0;
  for (i64 p = thread; p < packs; p += step) {
    const Pack<U> pack = ((const Pack<U>*)in)[p];
    for (int k = 0; k < Pack<U>::kSize; ++k)
      if (!masked || mask[p * Pack<U>::kSize + k]) add(pack.x[k]);
  }
  for (i64 i = packs * Pack<U>::kSize + thread; i < length; i += step)
    if (!masked || mask[i]) add(in[i]);
  put();
  __syncthreads();
  if (!first) return;
  for (int i = threadIdx.x; i < kDigits; i += blockDim.x) {
    u64 sum = 0;
    for (int k = 0; k < kCopies; ++k) sum += local[i * kCopies + k];
    if (sum) atomicAdd(counts + i, sum);
  }
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
  extern "C" __global__ void fixed_##name(const T* in, const unsigned char* mask, int masked, long long length,        \
                                          double low, double high, double scale, int bins, unsigned long long* counts, \
                                          int first, int size, int copies) {                                           \
    count(in, mask, masked, length, Fixed{low, high, scale, bins}, counts, first, size, copies);                       \
  }                                                                                                                    \
  extern "C" __global__ void sums_##name(const T* in, const unsigned char* mask, int masked, long long length,         \
                                         double shift, double* part) {                                                 \
    sums(in, mask, masked, length, shift, part);                                                                       \
  }
#define FASTIMG_WHOLE(name, T)                                                                                   \
  FASTIMG_VOXEL(name, T)                                                                                         \
  extern "C" __global__ void direct_##name(const T* in, const unsigned char* mask, int masked, long long length, \
                                           long long origin, unsigned long long* counts, int first, int size,    \
                                           int copies) {                                                         \
    count(in, mask, masked, length, Direct{origin}, counts, first, size, copies);                                \
  }
#define FASTIMG_REAL(name, T)                                                                                   \
  FASTIMG_VOXEL(name, T)                                                                                        \
  extern "C" __global__ void power_##name(const T* in, const unsigned char* mask, int masked, long long length, \
                                          double inverse, double base, int bins, unsigned long long* counts,    \
                                          int first, int size, int copies) {                                    \
    count(in, mask, masked, length, Power{inverse, base, bins}, counts, first, size, copies);                   \
  }
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

#define FASTIMG_KEYS(name, U)                                                                                        \
  extern "C" __global__ void digits_##name(const U* in, const unsigned char* mask, int masked, long long length,     \
                                           int shift, int bits, int first, const U* prefix, int ranks,               \
                                           unsigned long long* counts) {                                             \
    digits(in, mask, masked, length, shift, bits, first, prefix, ranks, counts);                                     \
  }                                                                                                                  \
  extern "C" __global__ void place_##name(const unsigned long long* counts, int bits, int first, int low, int high,  \
                                          const double* q, int number, long long* totals, const U* before, U* after, \
                                          long long* rank) {                                                         \
    place(counts, bits, first, low, high, q, number, totals, before, after, rank);                                   \
  }
FASTIMG_KEYS(uint32, unsigned int)
FASTIMG_KEYS(uint64, unsigned long long)
