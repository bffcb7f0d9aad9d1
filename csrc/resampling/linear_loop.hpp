// Linear rows in float; included by oblique_loop.hpp, once in each level's region.
//
// Where the samples lie is found for a whole piece, then they are fetched, then they are combined, so that no load
// waits for a position and no combination for a load. Two neighbours along x come with one load. A gather of 16 would
// cost as much as all the rest.
namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

constexpr int kAhead = 4;  // rows of the target whose samples are fetched beforehand

// Each output's place in the source, and its neighbours'; blocks with an output in the volume have a bit in `some`.
struct Places {
  // samples (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1) at x, the next one behind each; only the first in a `deep`
  // block, whose samples are all in the volume, as their neighbours are
  alignas(64) std::int32_t at[4][kPiece];
  alignas(64) std::int32_t x[kPiece];
  alignas(64) float wz[kPiece], wy[kPiece], wx[kPiece];
  std::uint32_t some = 0, deep = 0;
};

// Two samples of each output in four rows: floats as they are, others in 32 bits, the first in the lower half.
template <class T>
struct Pairs {
  static constexpr bool wide = sizeof(T) == 4;
  using Word = std::conditional_t<wide, float, std::uint32_t>;
  alignas(64) Word row[4][wide ? 2 * kPiece : kPiece];

  static constexpr int bits = 8 * static_cast<int>(sizeof(T));
  using Shifted = std::conditional_t<(static_cast<T>(-1) < T(0)), std::int32_t, std::uint32_t>;
  static __attribute__((always_inline)) float number(std::uint32_t word, int shift) {
    return static_cast<float>(static_cast<std::int32_t>(static_cast<Shifted>(word << shift) >> (32 - bits)));
  }
  __attribute__((always_inline)) float first(int r, std::int64_t o) const {
    if constexpr (wide)
      return row[r][2 * o];
    else
      return number(row[r][o], 32 - bits);
  }
  __attribute__((always_inline)) float second(int r, std::int64_t o) const {
    if constexpr (wide)
      return row[r][2 * o + 1];
    else
      return number(row[r][o], 32 - 2 * bits);
  }
};

FASTIMG_ATOM void words_at(const float* v, const std::int32_t* at, float* to) {
  for (int l = 0; l < kLanes; ++l) __builtin_memcpy(to + 2 * l, v + at[l], 2 * sizeof(float));
}
template <class T>
FASTIMG_ATOM void words_at(const T* v, const std::int32_t* at, std::uint32_t* to) {
  for (int l = 0; l < kLanes; ++l) {
    std::conditional_t<sizeof(T) == 1, std::uint16_t, std::uint32_t> both;
    __builtin_memcpy(&both, v + at[l], sizeof both);
    to[l] = both;
  }
}

#ifdef FASTIMG_AVX512
// From memory: GCC would widen all of them in registers and take them out one by one.
FASTIMG_ATOM std::int64_t place_at(const std::int32_t* at, int l) {
  return *static_cast<const volatile std::int32_t*>(at + l);
}

// A load that reaches every lane and a mask that keeps one: half a cycle each of two ports.
FASTIMG_ATOM __m512i eight_at(const float* v, const std::int32_t* at) {
  __m512i all = _mm512_setzero_si512();
  for (int l = 0; l < 8; ++l)
    all = _mm512_mask_broadcastq_epi64(all, static_cast<__mmask8>(1 << l),
                                       _mm_loadl_epi64(reinterpret_cast<const __m128i*>(v + place_at(at, l))));
  return all;
}
FASTIMG_ATOM void words_16(const float* v, const std::int32_t* at, float* to) {
  _mm512_store_si512(to, eight_at(v, at));
  _mm512_store_si512(to + kLanes, eight_at(v, at + 8));
}
template <class T>
FASTIMG_ATOM void words_16(const T* v, const std::int32_t* at, std::uint32_t* to) {
  if constexpr (sizeof(T) == 1) return words_at(v, at, to);
  __m512i low = _mm512_setzero_si512(), high = low;  // two chains
  for (int l = 0; l < 8; ++l) {
    low = _mm512_mask_broadcastd_epi32(low, static_cast<__mmask16>(1 << l), _mm_loadu_si32(v + place_at(at, l)));
    high =
        _mm512_mask_broadcastd_epi32(high, static_cast<__mmask16>(256 << l), _mm_loadu_si32(v + place_at(at, l + 8)));
  }
  _mm512_store_si512(to, _mm512_or_si512(low, high));
}

// The same of four rows, `v[r]` being where each begins: a place is read once for all of them.
FASTIMG_ATOM void rows_16(const float* const* v, const std::int32_t* at, std::int64_t o, Pairs<float>& to) {
  for (int half = 0; half < 2; ++half) {
    __m512i all[4] = {};
    for (int l = 0; l < 8; ++l) {
      const std::int64_t place = place_at(at, 8 * half + l);
      for (int r = 0; r < 4; ++r)
        all[r] = _mm512_mask_broadcastq_epi64(all[r], static_cast<__mmask8>(1 << l),
                                              _mm_loadl_epi64(reinterpret_cast<const __m128i*>(v[r] + place)));
    }
    for (int r = 0; r < 4; ++r) _mm512_store_si512(to.row[r] + 2 * o + kLanes * half, all[r]);
  }
}
template <class T>
FASTIMG_ATOM void rows_16(const T* const* v, const std::int32_t* at, std::int64_t o, Pairs<T>& to) {
  if constexpr (sizeof(T) == 1) {
    for (int r = 0; r < 4; ++r) words_at(v[r], at, to.row[r] + o);
  } else {
    __m512i all[4] = {};
    for (int l = 0; l < kLanes; ++l) {
      const std::int64_t place = place_at(at, l);
      for (int r = 0; r < 4; ++r)
        all[r] = _mm512_mask_broadcastd_epi32(all[r], static_cast<__mmask16>(1 << l), _mm_loadu_si32(v[r] + place));
    }
    for (int r = 0; r < 4; ++r) _mm512_store_si512(to.row[r] + o, all[r]);
  }
}

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

FASTIMG_ATOM __m512d times(double a, __m512d b) { return _mm512_mul_pd(_mm512_set1_pd(a), b); }

// fastimg::displaced_position for 8 lanes; row: of the matrix at (k, j), mm: x, y, z.
FASTIMG_ATOM void displaced_8(const double* m, const double* n, double row, __m512d i, const __m512d* mm,
                              __m256i& index, __m256& rest) {
  const __m512d base = _mm512_add_pd(_mm512_add_pd(_mm512_set1_pd(row), times(m[2], i)), _mm512_set1_pd(m[3]));
  const __m512d way = _mm512_add_pd(_mm512_add_pd(times(n[0], mm[0]), times(n[1], mm[1])), times(n[2], mm[2]));
  // the maximum of NaN and a number is the second one
  const __m512d p = _mm512_min_pd(_mm512_max_pd(_mm512_add_pd(base, way), _mm512_set1_pd(-1e9)), _mm512_set1_pd(1e9));
  const __m512d whole = _mm512_roundscale_pd(p, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  const __m256 part = _mm512_cvtpd_ps(_mm512_sub_pd(p, whole));
  const __mmask8 up = _mm256_cmp_ps_mask(part, _mm256_set1_ps(1), _CMP_EQ_OQ);  // float rounds up to the next sample
  const __m256i at = _mm512_cvttpd_epi32(whole);
  index = _mm256_mask_add_epi32(at, up, at, _mm256_set1_epi32(1));
  rest = _mm256_mask_mov_ps(part, up, _mm256_setzero_ps());
}

// Positions of a block of displaced voxels along z, y, x.
FASTIMG_ATOM void displaced_16(const Affine& a, std::int64_t k, std::int64_t j, std::int64_t i, Line16* lines) {
  const std::int64_t place = (k * a.out[1] + j) * a.out[2] + i, left = a.out[2] - i;
  alignas(64) double mm[3][kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::int64_t at = 3 * (place + (lane < left ? lane : left - 1));
    for (int axis = 0; axis < 3; ++axis)
      mm[axis][lane] = a.field_double ? static_cast<const double*>(a.field)[at + axis]
                                      : static_cast<const float*>(a.field)[at + axis];
  }
  const double dk = static_cast<double>(k + a.to[0]), dj = static_cast<double>(j + a.to[1]);
  const __m512d first =
      _mm512_add_pd(_mm512_setr_pd(0, 1, 2, 3, 4, 5, 6, 7), _mm512_set1_pd(static_cast<double>(i + a.to[2])));
  for (int axis = 0; axis < 3; ++axis) {
    const double* const m = a.m + 4 * axis;
    const double row = m[0] * dk + m[1] * dj;
    __m256i index[2];
    __m256 rest[2];
    for (int half = 0; half < 2; ++half) {
      const __m512d by[3] = {_mm512_load_pd(mm[0] + 8 * half), _mm512_load_pd(mm[1] + 8 * half),
                             _mm512_load_pd(mm[2] + 8 * half)};
      displaced_8(m, a.n + 3 * axis, row, _mm512_add_pd(first, _mm512_set1_pd(8 * half)), by, index[half], rest[half]);
    }
    lines[axis].index = _mm512_inserti64x4(_mm512_castsi256_si512(index[0]), index[1], 1);
    lines[axis].rest = _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(rest[0])), _mm256_castps_pd(rest[1]), 1));
  }
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

FASTIMG_ATOM __m512i clamped_16(__m512i index, std::int64_t n) {
  return _mm512_min_epi32(_mm512_max_epi32(index, _mm512_setzero_si512()), _mm512_set1_epi32(static_cast<int>(n - 1)));
}

__attribute__((noinline)) void places_of(const Affine& a, const Piece& p, Places& to, unsigned char* inside) {
  const std::int64_t nz = a.in[0], ny = a.in[1], nx = a.in[2];
  const __m512i row = _mm512_set1_epi32(static_cast<int>(nx)), plane = _mm512_set1_epi32(static_cast<int>(ny * nx));
  const auto next = [](__m512i index, std::int64_t n) __attribute__((always_inline)) {
    return _mm512_cmplt_epu32_mask(index, _mm512_set1_epi32(static_cast<int>(n - 1)));
  };
  const __m512 way_z = way_16(a.m[2]), way_y = way_16(a.m[6]), way_x = way_16(a.m[10]);
  const RowStart start(a, a.m, p.k + a.to[0], p.j + a.to[1]);
  for (std::int64_t o = 0; o < p.count; o += kLanes) {
    __m128i index;
    __m128 offset;
    start.at(p.i + o + a.to[2], index, offset);
    Line16 z = line_16<0>(index, offset, way_z), y = line_16<1>(index, offset, way_y),
           x = line_16<2>(index, offset, way_x);
    if (a.field) {
      Line16 lines[3];
      displaced_16(a, p.k, p.j, p.i + o, lines);
      z = lines[0], y = lines[1], x = lines[2];
    }
    _mm512_store_si512(to.x + o, x.index);
    _mm512_store_ps(to.wz + o, z.rest);
    _mm512_store_ps(to.wy + o, y.rest);
    _mm512_store_ps(to.wx + o, x.rest);
    const std::uint32_t bit = 1u << (o / kLanes);
    const __mmask16 over = next(z.index, nz), below = next(y.index, ny);
    const bool deep = (over & below & next(x.index, nx)) == 0xffff;
    __mmask16 hit = 0xffff;
    if (!deep) {
      if (!a.edge) hit = inside_16(z, nz) & inside_16(y, ny) & inside_16(x, nx);
      z.index = clamped_16(z.index, nz), y.index = clamped_16(y.index, ny), x.index = clamped_16(x.index, nx - 1);
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(inside + o), _mm_maskz_set1_epi8(hit, 1));
    const __m512i at = _mm512_add_epi32(_mm512_add_epi32(_mm512_mullo_epi32(z.index, plane), x.index),
                                        _mm512_mullo_epi32(y.index, row));
    _mm512_store_si512(to.at[0] + o, at);
    to.some |= hit ? bit : 0;
    to.deep |= deep ? bit : 0;
    if (deep) continue;
    const __m512i under = _mm512_mask_add_epi32(at, over, at, plane);
    _mm512_store_si512(to.at[1] + o, _mm512_mask_add_epi32(at, below, at, row));
    _mm512_store_si512(to.at[2] + o, under);
    _mm512_store_si512(to.at[3] + o, _mm512_mask_add_epi32(under, below, under, row));
  }
}
#else
template <class... Rest>
FASTIMG_ATOM void words_16(Rest... rest) {
  words_at(rest...);
}
template <class T>
FASTIMG_ATOM void rows_16(const T* const* v, const std::int32_t* at, std::int64_t o, Pairs<T>& to) {
  for (int r = 0; r < 4; ++r) words_at(v[r], at, to.row[r] + (Pairs<T>::wide ? 2 * o : o));
}

__attribute__((noinline)) void places_of(const Affine& a, const Piece& p, Places& to, unsigned char* inside) {
  const int nz = static_cast<int>(a.in[0]), ny = static_cast<int>(a.in[1]), nx = static_cast<int>(a.in[2]);
  const bool edge = a.edge;
  Block<float> b;
  for (std::int64_t o = 0; o < p.count; o += kLanes) {
    b.set(a, p.k, p.j, p.i + o);
    int deep = 0, hits = 0;
    alignas(64) int in[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      const int z = b.z.index[l], y = b.y.index[l], x = b.x.index[l];
      const bool over = z >= 0 && z < nz - 1, below = y >= 0 && y < ny - 1, right = x >= 0 && x < nx - 1;
      const int at = (fastimg::clamped(z, nz) * ny + fastimg::clamped(y, ny)) * nx + fastimg::clamped(x, nx - 1);
      const int under = at + (over ? ny * nx : 0), row = below ? nx : 0;
      to.at[0][o + l] = at, to.at[1][o + l] = at + row;
      to.at[2][o + l] = under, to.at[3][o + l] = under + row;
      to.x[o + l] = x;
      in[l] = edge | (fastimg::inside(z, b.z.rest[l], nz) & fastimg::inside(y, b.y.rest[l], ny) &
                      fastimg::inside(x, b.x.rest[l], nx));
      hits += in[l], deep += over & below & right;
    }
    for (int l = 0; l < kLanes; ++l) {
      inside[o + l] = static_cast<unsigned char>(in[l]);
      to.wz[o + l] = b.z.rest[l], to.wy[o + l] = b.y.rest[l], to.wx[o + l] = b.x.rest[l];
    }
    const std::uint32_t bit = 1u << (o / kLanes);
    to.some |= hits ? bit : 0;
    to.deep |= deep == kLanes ? bit : 0;
  }
}
#endif

// The order of operations is fastimg::sample_at's.
template <class T, bool intake>
FASTIMG_ATOM void combine(const Pairs<T>& v, const Places& p, const fastimg::Intake<float>& intake_of, int last,
                          std::int64_t from, std::int64_t until, float* __restrict out) {
  const fastimg::Intake<float> t = intake_of;
  for (std::int64_t o = from; o < until; ++o) {
    float a = v.first(0, o), b = v.first(1, o), c = v.first(2, o), d = v.first(3, o);
    float e = v.second(0, o), f = v.second(1, o), g = v.second(2, o), h = v.second(3, o);
    if (intake) {
      a = fastimg::taken(a, t), b = fastimg::taken(b, t), c = fastimg::taken(c, t), d = fastimg::taken(d, t);
      e = fastimg::taken(e, t), f = fastimg::taken(f, t), g = fastimg::taken(g, t), h = fastimg::taken(h, t);
    }
    const float wz = p.wz[o], wy = p.wy[o];
    const float left = fastimg::lerp(fastimg::lerp(a, c, wz), fastimg::lerp(b, d, wz), wy);
    const float right = fastimg::lerp(fastimg::lerp(e, g, wz), fastimg::lerp(f, h, wz), wy);
    // beside the volume both are its outermost sample
    out[o] = fastimg::lerp(p.x[o] >= last ? right : left, p.x[o] < 0 ? left : right, p.wx[o]);
  }
}

template <class T>
void linear_row(const void* in, const Affine& a, const Fused<float>& fused, const Piece& p, float* out,
                unsigned char* inside) {
  const std::int64_t ny = a.in[1], nx = a.in[2], plane = ny * nx;
  if (nx < 2 || a.in[0] * plane >= std::int64_t{1} << 31)
    return interpolate_row<1, T, float>(in, a, fused, p, out, inside);
  const T* const v = static_cast<const T*>(in);
  Places places;
  places_of(a, p, places, inside);
  if (!places.some) return;
  const auto rows_on = [&](int column) __attribute__((always_inline)) {
    const double way = a.m[column] * kAhead;
    return static_cast<std::int64_t>(way < 0 ? way - 0.5 : way + 0.5);
  };
  const std::int64_t ahead = rows_on(1) * plane + rows_on(5) * nx + rows_on(9);
  const auto soon = [v](std::int64_t place) __attribute__((always_inline)) {
    constexpr std::int64_t size = sizeof(T);
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::intptr_t>(v) + place * size));
  };
  const T* const rows[4] = {v, v + nx, v + plane, v + plane + nx};
  Pairs<T> pairs;
  for (std::uint32_t left = places.some; left; left &= left - 1) {
    const int block = __builtin_ctz(left);
    const std::int64_t o = block * kLanes, to = Pairs<T>::wide ? 2 * o : o;
    const std::int32_t* const at = places.at[0] + o;
    if (!a.field)
      for (int l = 1; l < kLanes; l += sizeof(T) < 4 ? 6 : 4) soon(at[l] + ahead), soon(at[l] + ahead + plane);
    if (places.deep >> block & 1) {
      rows_16(rows, at, o, pairs);
    } else {
      for (int r = 0; r < 4; ++r) words_16(v, places.at[r] + o, pairs.row[r] + to);
    }
  }
  const std::int64_t from = __builtin_ctz(places.some) * kLanes, until = (32 - __builtin_clz(places.some)) * kLanes;
  const int last = static_cast<int>(nx - 1);
  if (fused.intake.on)
    combine<T, true>(pairs, places, fused.intake, last, from, until, out);
  else
    combine<T, false>(pairs, places, fused.intake, last, from, until, out);
}

}  // namespace
}  // namespace fastimg::resampling::FASTIMG_LEVEL
