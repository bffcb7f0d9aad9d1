// Included once in each level's region: no include guard, no standard header.
#include "fastimg/oblique.cuh"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

using fastimg::kLanes;

// Whole part and rest of kLanes positions along one axis.
template <class C>
struct Line {
  alignas(64) int index[kLanes];
  alignas(64) C rest[kLanes];

  __attribute__((always_inline)) void set(const double* m, std::int64_t from, double k, double j, double i) {
    const auto start = fastimg::block_start<C>(m, k, j, i);
    const C step = static_cast<C>(m[2]);
    for (int lane = 0; lane < kLanes; ++lane)
      fastimg::lane_position(start, static_cast<C>(lane), step, index[lane], rest[lane]);
    for (int lane = 0; lane < kLanes; ++lane) index[lane] -= static_cast<int>(from);
  }
};

template <class C>
struct Block {
  Line<C> z, y, x;

  __attribute__((always_inline)) void set(const Affine& a, std::int64_t k, std::int64_t j, std::int64_t i) {
    const double dk = static_cast<double>(k + a.to[0]), dj = static_cast<double>(j + a.to[1]),
                 di = static_cast<double>(i + a.to[2]);
    if (a.field) return displaced(a, (k * a.out[1] + j) * a.out[2] + i, a.out[2] - i, dk, dj, di);
    z.set(a.m, a.from[0], dk, dj, di);
    y.set(a.m + 4, a.from[1], dk, dj, di);
    x.set(a.m + 8, a.from[2], dk, dj, di);
  }
  void displaced(const Affine& a, std::int64_t place, std::int64_t left, double k, double j, double i) {
    const float* const narrow = static_cast<const float*>(a.field);
    const double* const wide = static_cast<const double*>(a.field);
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::int64_t at = 3 * (place + (lane < left ? lane : left - 1));
      const double dx = a.field_double ? wide[at] : narrow[at], dy = a.field_double ? wide[at + 1] : narrow[at + 1],
                   dz = a.field_double ? wide[at + 2] : narrow[at + 2], o = i + lane;
      fastimg::displaced_position(a.m, a.n, k, j, o, dx, dy, dz, z.index[lane], z.rest[lane]);
      fastimg::displaced_position(a.m + 4, a.n + 3, k, j, o, dx, dy, dz, y.index[lane], y.rest[lane]);
      fastimg::displaced_position(a.m + 8, a.n + 6, k, j, o, dx, dy, dz, x.index[lane], x.rest[lane]);
    }
  }
  __attribute__((always_inline)) bool inside(const Affine& a, int lane) const {
    return a.edge || (fastimg::inside(z.index[lane], z.rest[lane], static_cast<int>(a.in[0])) &&
                      fastimg::inside(y.index[lane], y.rest[lane], static_cast<int>(a.in[1])) &&
                      fastimg::inside(x.index[lane], x.rest[lane], static_cast<int>(a.in[2])));
  }
};

template <int D, class T, class C>
void interpolate_row(const void* in, const Affine& a, const Fused<C>& fused, std::int64_t k, std::int64_t j, C* out,
                     unsigned char* inside) {
  const T* const v = static_cast<const T*>(in);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  Block<C> b;
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    b.set(a, k, j, i);
    const int lanes = a.out[2] - i < kLanes ? static_cast<int>(a.out[2] - i) : kLanes;
    for (int l = 0; l < lanes; ++l) {
      inside[i + l] = b.inside(a, l);
      if (inside[i + l])
        out[i + l] = fastimg::sample_at<D, C>(v, fused.intake, n, b.z.index[l], b.y.index[l], b.x.index[l], b.z.rest[l],
                                              b.y.rest[l], b.x.rest[l]);
    }
  }
}

#ifdef FASTIMG_AVX512
// fastimg::block_start of the three axes at once.
struct RowStart {
  __m256d row, step, rest;

  __m128i from;

  __attribute__((always_inline)) RowStart(const Affine& a, const double* m, std::int64_t k, std::int64_t j)
      : row(_mm256_add_pd(_mm256_mul_pd(_mm256_setr_pd(m[0], m[4], m[8], 0), _mm256_set1_pd(static_cast<double>(k))),
                          _mm256_mul_pd(_mm256_setr_pd(m[1], m[5], m[9], 0), _mm256_set1_pd(static_cast<double>(j))))),
        step(_mm256_setr_pd(m[2], m[6], m[10], 0)),
        rest(_mm256_setr_pd(m[3], m[7], m[11], 0)),
        from(_mm_setr_epi32(static_cast<int>(a.from[0]), static_cast<int>(a.from[1]), static_cast<int>(a.from[2]), 0)) {
  }
  __attribute__((always_inline)) void at(std::int64_t i, __m128i& index, __m128& offset) const {
    __m256d p = _mm256_mul_pd(step, _mm256_set1_pd(static_cast<double>(i)));
    p = _mm256_add_pd(_mm256_add_pd(row, p), rest);
    p = _mm256_min_pd(_mm256_max_pd(p, _mm256_set1_pd(-1e9)), _mm256_set1_pd(1e9));
    const __m256d whole = _mm256_floor_pd(p);
    index = _mm_sub_epi32(_mm256_cvttpd_epi32(whole), from);
    offset = _mm256_cvtpd_ps(_mm256_sub_pd(p, whole));
  }
};

// The 16 points of a block in one register an axis; two neighbours along x come with one gather where they fit 32 bits.
struct Line16 {
  __m512i index;
  __m512 rest;
};

// kLanes positions along one axis from a block's start.
template <int axis>
FASTIMG_ATOM Line16 line_16(__m128i index, __m128 offset, __m512 way) {
  const __m128 from = _mm_permute_ps(offset, axis * 0x55);
  const __m512 q = _mm512_add_ps(_mm512_broadcastss_ps(from), way);
  const __m512 whole = _mm512_roundscale_ps(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  const __m512i at = _mm512_broadcastd_epi32(_mm_shuffle_epi32(index, axis * 0x55));
  return {_mm512_add_epi32(at, _mm512_cvttps_epi32(whole)), _mm512_sub_ps(q, whole)};
}

FASTIMG_ATOM __m512 way_16(double step) {
  const __m512 lanes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_mul_ps(lanes, _mm512_set1_ps(static_cast<float>(step)));
}

FASTIMG_ATOM __mmask16 inside_16(const Line16& a, std::int64_t n) {
  const __mmask16 up = _mm512_cmp_ps_mask(a.rest, _mm512_set1_ps(0.5f), _CMP_GE_OQ);
  const __m512i near = _mm512_mask_add_epi32(a.index, up, a.index, _mm512_set1_epi32(1));
  return _mm512_cmplt_epu32_mask(near, _mm512_set1_epi32(static_cast<int>(n)));
}

FASTIMG_ATOM __m512i clamped_16(__m512i index, std::int64_t last) {
  return _mm512_min_epi32(_mm512_max_epi32(index, _mm512_setzero_si512()), _mm512_set1_epi32(static_cast<int>(last)));
}

FASTIMG_ATOM __m512 lerp_16(__m512 a, __m512 b, __m512 w, __mmask16 between) {
  return _mm512_mask_add_ps(a, between, a, _mm512_mul_ps(w, _mm512_sub_ps(b, a)));
}

FASTIMG_ATOM void pair_16(const float* v, __m512i at, __m512& a, __m512& b) {
  a = _mm512_i32gather_ps(at, v, 4);
  b = _mm512_i32gather_ps(at, v + 1, 4);
}
FASTIMG_ATOM void pair_16(const i16* v, __m512i at, __m512& a, __m512& b) {
  const __m512i both = _mm512_i32gather_epi32(at, v, 2);
  a = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16));
  b = _mm512_cvtepi32_ps(_mm512_srai_epi32(both, 16));
}
// Bytes: 32 bits from the sample on would reach behind the volume's end, so they come one by one.
template <class T>
FASTIMG_ATOM void pair_16_bytes(const T* v, __m512i at, __m512& a, __m512& b) {
  alignas(64) std::int32_t places[kLanes], first[kLanes], second[kLanes];
  _mm512_store_si512(places, at);
  for (int l = 0; l < kLanes; ++l) first[l] = v[places[l]], second[l] = v[places[l] + 1];
  a = _mm512_cvtepi32_ps(_mm512_load_si512(first));
  b = _mm512_cvtepi32_ps(_mm512_load_si512(second));
}
FASTIMG_ATOM void pair_16(const i8* v, __m512i at, __m512& a, __m512& b) { pair_16_bytes(v, at, a, b); }
FASTIMG_ATOM void pair_16(const u8* v, __m512i at, __m512& a, __m512& b) { pair_16_bytes(v, at, a, b); }
FASTIMG_ATOM void pair_16(const u16* v, __m512i at, __m512& a, __m512& b) {
  const __m512i both = _mm512_i32gather_epi32(at, v, 2);
  a = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff)));
  b = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 16));
}

struct Corners {  // z, y; v at x, w at x + 1
  __m512 v00, w00, v01, w01, v10, w10, v11, w11;
};

// Runs: neighbours of a row that stay in one cell of (z, y), 3 to 5 of them at 10 degrees. Each of the four source rows
// beside it comes with one load, out of which a permutation takes its samples; a gather costs as much as four runs.
// Stores are whole: the next run overwrites what lies behind this one. kChunk outputs are prepared at a time, so that
// no branch waits for a position.
constexpr std::int64_t kChunk = 256;
constexpr int kAhead = 8;  // rows of the target whose samples are fetched beforehand

template <class T>
struct Runs {
  static constexpr int kSpan = sizeof(T) == 4 ? 16 : 32;  // samples a load
  static constexpr int kArrays = sizeof(T) == 4 ? 8 : 4;  // v00 w00 v01 ...; or both in one word of 32 bits
  static constexpr std::int64_t kRoom = kChunk + kLanes;
  alignas(64) std::int32_t x[kRoom], cell[kRoom], starts[kRoom];
  alignas(64) float rest[3][kRoom];
  alignas(64) std::int32_t corner[kArrays][kRoom];
  std::int64_t count = 0;  // of runs

  // Lanes where a run must end so that its samples fit a load; 0: runs are not worth it.
  static int splits(const double* m) {
    const auto size = [](double v) { return v < 0 ? -v : v; };
    const double step = size(m[10]);
    const int every = 7 * step + 2 <= kSpan ? 8 : 3 * step + 2 <= kSpan ? 4 : 1;
    if (every == 1 || 16 / every + 15 * (size(m[6]) + size(m[2])) > 14) return 0;
    return every == 8 ? 0x0101 : 0x1111;
  }

  // Block at `o` of the chunk.
  __attribute__((always_inline)) void add(std::int64_t o, const Line16& z, const Line16& y, const Line16& xs,
                                          __m512i cells, int splits) {
    _mm512_store_si512(x + o, xs.index);
    _mm512_store_si512(cell + o, cells);
    _mm512_store_ps(rest[0] + o, z.rest);
    _mm512_store_ps(rest[1] + o, y.rest);
    _mm512_store_ps(rest[2] + o, xs.rest);
    const __m512i before = _mm512_alignr_epi32(cells, cells, 15);
    const auto first = static_cast<__mmask16>(_mm512_cmpneq_epi32_mask(cells, before) | splits);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i places = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(o)));
    _mm512_storeu_si512(starts + count, _mm512_maskz_compress_epi32(first, places));
    count += __builtin_popcount(first);
  }

  __attribute__((always_inline)) void fetch(const T* v, std::int64_t ny, std::int64_t nx, std::int64_t ahead);
  __attribute__((always_inline)) Corners get(std::int64_t o) const;
};

FASTIMG_ATOM __m512i words_32(const i16* v) { return _mm512_loadu_si512(v); }
FASTIMG_ATOM __m512i words_32(const u16* v) { return _mm512_loadu_si512(v); }
FASTIMG_ATOM __m512i words_32(const i8* v) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(v)));
}
FASTIMG_ATOM __m512i words_32(const u8* v) {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(v)));
}
template <class T>
FASTIMG_ATOM void unpack_16(__m512i both, __m512& a, __m512& b) {
  if constexpr (static_cast<T>(-1) < T(0)) {
    a = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16));
    b = _mm512_cvtepi32_ps(_mm512_srai_epi32(both, 16));
  } else {
    a = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff)));
    b = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 16));
  }
}

FASTIMG_ATOM void put_8(std::int32_t* to, __m512i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(v));
}

template <class T>
void Runs<T>::fetch(const T* v, std::int64_t ny, std::int64_t nx, std::int64_t ahead) {
  const std::int64_t plane = ny * nx, last = nx - kSpan;
  const auto soon = [](const T* at, std::int64_t bytes) {
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(at) + bytes));
  };
  starts[count] = static_cast<std::int32_t>(kChunk);
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t s = starts[r], half = s | 7, next = starts[r + 1] - 1, e = next < half ? next : half;
    std::int64_t base = x[s] < x[e] ? x[s] : x[e];
    base = base < last ? base : last;
    const T* const at = v + cell[s] * nx + base;
    soon(at, ahead);
    soon(at + plane, ahead);
    const __m512i places = _mm512_loadu_si512(x + s);
    if constexpr (sizeof(T) == 4) {
      const __m512i rel = _mm512_sub_epi32(places, _mm512_set1_epi32(static_cast<int>(base)));
      const __m512i then = _mm512_add_epi32(rel, _mm512_set1_epi32(1));
      const T* const rows[4] = {at, at + nx, at + plane, at + plane + nx};
      for (int n = 0; n < 4; ++n) {
        const __m512 row = _mm512_loadu_ps(rows[n]);
        put_8(corner[2 * n] + s, _mm512_castps_si512(_mm512_permutexvar_ps(rel, row)));
        put_8(corner[2 * n + 1] + s, _mm512_castps_si512(_mm512_permutexvar_ps(then, row)));
      }
    } else {
      // the words x and x + 1 of each lane, modulo 32
      const __m512i rel = _mm512_sub_epi32(places, _mm512_set1_epi32(static_cast<int>(base)));
      const __m512i pair =
          _mm512_add_epi32(_mm512_or_si512(rel, _mm512_slli_epi32(rel, 16)), _mm512_set1_epi32(1 << 16));
      put_8(corner[0] + s, _mm512_permutexvar_epi16(pair, words_32(at)));
      put_8(corner[1] + s, _mm512_permutexvar_epi16(pair, words_32(at + nx)));
      put_8(corner[2] + s, _mm512_permutexvar_epi16(pair, words_32(at + plane)));
      put_8(corner[3] + s, _mm512_permutexvar_epi16(pair, words_32(at + plane + nx)));
    }
  }
}

template <class T>
Corners Runs<T>::get(std::int64_t o) const {
  Corners c;
  if constexpr (sizeof(T) == 4) {
    c.v00 = _mm512_load_ps(corner[0] + o), c.w00 = _mm512_load_ps(corner[1] + o);
    c.v01 = _mm512_load_ps(corner[2] + o), c.w01 = _mm512_load_ps(corner[3] + o);
    c.v10 = _mm512_load_ps(corner[4] + o), c.w10 = _mm512_load_ps(corner[5] + o);
    c.v11 = _mm512_load_ps(corner[6] + o), c.w11 = _mm512_load_ps(corner[7] + o);
  } else {
    unpack_16<T>(_mm512_load_si512(corner[0] + o), c.v00, c.w00);
    unpack_16<T>(_mm512_load_si512(corner[1] + o), c.v01, c.w01);
    unpack_16<T>(_mm512_load_si512(corner[2] + o), c.v10, c.w10);
    unpack_16<T>(_mm512_load_si512(corner[3] + o), c.v11, c.w11);
  }
  return c;
}

FASTIMG_ATOM __m512 taken_16(__m512 v, const fastimg::Intake<float>& t) {
  v = _mm512_add_ps(_mm512_mul_ps(v, _mm512_set1_ps(t.slope)), _mm512_set1_ps(t.intercept));
  // in this order NaN stays
  v = _mm512_max_ps(_mm512_set1_ps(t.low), v);
  return _mm512_min_ps(_mm512_set1_ps(t.high), v);
}

FASTIMG_ATOM __m512 combined_16(Corners c, const Fused<float>& fused, __m512 wz, __m512 wy, __m512 wx, __mmask16 below,
                                __mmask16 above) {
  if (fused.intake.on) {
    c.v00 = taken_16(c.v00, fused.intake), c.w00 = taken_16(c.w00, fused.intake);
    c.v01 = taken_16(c.v01, fused.intake), c.w01 = taken_16(c.w01, fused.intake);
    c.v10 = taken_16(c.v10, fused.intake), c.w10 = taken_16(c.w10, fused.intake);
    c.v11 = taken_16(c.v11, fused.intake), c.w11 = taken_16(c.w11, fused.intake);
  }
  const __mmask16 mz = _mm512_cmp_ps_mask(wz, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  const __mmask16 my = _mm512_cmp_ps_mask(wy, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  const __mmask16 mx = _mm512_cmp_ps_mask(wx, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  const __m512 left = lerp_16(lerp_16(c.v00, c.v10, wz, mz), lerp_16(c.v01, c.v11, wz, mz), wy, my);
  const __m512 right = lerp_16(lerp_16(c.w00, c.w10, wz, mz), lerp_16(c.w01, c.w11, wz, mz), wy, my);
  const __m512 first = _mm512_mask_mov_ps(left, above, right), second = _mm512_mask_mov_ps(right, below, left);
  return lerp_16(first, second, wx, mx);
}

// A block at the volume's border, or where runs would be short: gathers with clamped indices.
template <class T>
FASTIMG_ATOM __m512 border_16(const T* v, const Affine& a, const Fused<float>& fused, const Line16& z, const Line16& y,
                              const Line16& x) {
  const std::int64_t nz = a.in[0], ny = a.in[1], nx = a.in[2];
  const __m512i one = _mm512_set1_epi32(1), row = _mm512_set1_epi32(static_cast<int>(nx)),
                high = _mm512_set1_epi32(static_cast<int>(ny)), last = _mm512_set1_epi32(static_cast<int>(nx - 2));
  const __m512i z0 = _mm512_mullo_epi32(clamped_16(z.index, nz - 1), high);
  const __m512i z1 = _mm512_mullo_epi32(clamped_16(_mm512_add_epi32(z.index, one), nz - 1), high);
  const __m512i y0 = clamped_16(y.index, ny - 1), y1 = clamped_16(_mm512_add_epi32(y.index, one), ny - 1);
  const __m512i x0 = clamped_16(x.index, nx - 2);
  const auto at = [&](__m512i zs, __m512i ys) {
    return _mm512_add_epi32(_mm512_mullo_epi32(_mm512_add_epi32(zs, ys), row), x0);
  };
  Corners c;
  pair_16(v, at(z0, y0), c.v00, c.w00);
  pair_16(v, at(z0, y1), c.v01, c.w01);
  pair_16(v, at(z1, y0), c.v10, c.w10);
  pair_16(v, at(z1, y1), c.v11, c.w11);
  return combined_16(c, fused, z.rest, y.rest, x.rest, _mm512_cmplt_epi32_mask(x.index, _mm512_setzero_si512()),
                     _mm512_cmpgt_epi32_mask(x.index, last));
}

template <class T>
void linear_row_16(const void* in, const Affine& a, const Fused<float>& fused, std::int64_t k, std::int64_t j,
                   float* out, unsigned char* inside) {
  const std::int64_t nz = a.in[0], ny = a.in[1], nx = a.in[2];
  if (nx < 32 || nz * ny * nx >= std::int64_t{1} << 31)
    return interpolate_row<1, T, float>(in, a, fused, k, j, out, inside);
  const T* const v = static_cast<const T*>(in);
  const __m512i high = _mm512_set1_epi32(static_cast<int>(ny));
  const __m512 way_z = way_16(a.m[2]), way_y = way_16(a.m[6]), way_x = way_16(a.m[10]);
  const int splits = a.field ? 0 : Runs<T>::splits(a.m);
  const auto rows_on = [&](int column) { return static_cast<std::int64_t>(a.m[column] * kAhead); };
  const std::int64_t ahead = ((rows_on(1) * ny + rows_on(5)) * nx + rows_on(9)) * static_cast<std::int64_t>(sizeof(T));
  // a block whose first and last lane lie this far inside has all samples and their neighbours in the volume
  const auto deep = [](__m512i index, std::int64_t n) __attribute__((always_inline)) {
    const auto first = static_cast<unsigned>(_mm_cvtsi128_si32(_mm512_castsi512_si128(index)));
    const auto last = static_cast<unsigned>(_mm_extract_epi32(_mm512_extracti32x4_epi32(index, 3), 3));
    const auto until = static_cast<unsigned>(n - 1);
    return first < until && last < until;
  };
  const RowStart start(a, a.m, k + a.to[0], j + a.to[1]);
  Runs<T> runs;
  for (std::int64_t chunk = 0; chunk < a.out[2]; chunk += kChunk) {
    const std::int64_t left = a.out[2] - chunk, until = left < kChunk ? left : kChunk;
    std::uint32_t inner = 0;  // blocks that are made of runs
    runs.count = 0;
    for (std::int64_t o = 0; o < until; o += kLanes) {
      const std::int64_t i = chunk + o;
      __m128i index;
      __m128 offset;
      start.at(i + a.to[2], index, offset);
      Line16 z = line_16<0>(index, offset, way_z), y = line_16<1>(index, offset, way_y),
             x = line_16<2>(index, offset, way_x);
      if (a.field) {
        Block<float> block;
        block.set(a, k, j, i);
        z = {_mm512_load_si512(block.z.index), _mm512_load_ps(block.z.rest)};
        y = {_mm512_load_si512(block.y.index), _mm512_load_ps(block.y.rest)};
        x = {_mm512_load_si512(block.x.index), _mm512_load_ps(block.x.rest)};
      }
      if (splits && deep(z.index, nz) && deep(y.index, ny) && deep(x.index, nx)) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(inside + i), _mm_set1_epi8(1));
        runs.add(o, z, y, x, _mm512_add_epi32(_mm512_mullo_epi32(z.index, high), y.index), splits);
        inner |= 1u << (o / kLanes);
        continue;
      }
      const __mmask16 hit = a.edge ? static_cast<__mmask16>(0xffff)
                                   : static_cast<__mmask16>(inside_16(z, nz) & inside_16(y, ny) & inside_16(x, nx));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(inside + i), _mm_maskz_set1_epi8(hit, 1));
      if (hit) _mm512_storeu_ps(out + i, border_16(v, a, fused, z, y, x));
    }
    runs.fetch(v, ny, nx, ahead);
    for (; inner; inner &= inner - 1) {
      const std::int64_t o = __builtin_ctz(inner) * kLanes;
      _mm512_storeu_ps(out + chunk + o,
                       combined_16(runs.get(o), fused, _mm512_load_ps(runs.rest[0] + o),
                                   _mm512_load_ps(runs.rest[1] + o), _mm512_load_ps(runs.rest[2] + o), 0, 0));
    }
  }
}
#else
template <class T>
void linear_row_16(const void* in, const Affine& a, const Fused<float>& fused, std::int64_t k, std::int64_t j,
                   float* out, unsigned char* inside) {
  interpolate_row<1, T, float>(in, a, fused, k, j, out, inside);
}
#endif

template <int D, class C>
void spline_row(const C* in, const Affine& a, std::int64_t k, std::int64_t j, C* out, unsigned char* inside) {
  interpolate_row<D, C, C>(in, a, Fused<C>(), k, j, out, inside);
}

// Places are computed in double whatever the voxels: all dtypes pick the same ones.
void where_row(const Affine& a, std::int64_t k, std::int64_t j, fastimg::Point* points) {
  Block<double> b;
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    b.set(a, k, j, i);
    const int lanes = a.out[2] - i < kLanes ? static_cast<int>(a.out[2] - i) : kLanes;
    for (int l = 0; l < lanes; ++l)
      points[i + l] = {b.z.index[l], b.y.index[l], b.x.index[l], b.z.rest[l], b.y.rest[l], b.x.rest[l], b.inside(a, l)};
  }
}

}  // namespace

extern const ObliqueTable<float> float_oblique;
extern const ObliqueTable<double> double_oblique;
#define FASTIMG_SPLINES(C) {nullptr, nullptr, spline_row<2, C>, spline_row<3, C>, spline_row<4, C>, spline_row<5, C>}
const ObliqueTable<float> float_oblique = {
    {linear_row_16<i8>, linear_row_16<u8>, linear_row_16<i16>, linear_row_16<u16>, nullptr, nullptr, nullptr, nullptr,
     linear_row_16<float>, nullptr},
    FASTIMG_SPLINES(float),
    where_row};
const ObliqueTable<double> double_oblique = {
    {interpolate_row<1, i8, double>, interpolate_row<1, u8, double>, interpolate_row<1, i16, double>,
     interpolate_row<1, u16, double>, interpolate_row<1, i32, double>, interpolate_row<1, u32, double>,
     interpolate_row<1, i64, double>, interpolate_row<1, u64, double>, interpolate_row<1, float, double>,
     interpolate_row<1, double, double>},
    FASTIMG_SPLINES(double),
    where_row};
#undef FASTIMG_SPLINES

}  // namespace fastimg::resampling::FASTIMG_LEVEL
