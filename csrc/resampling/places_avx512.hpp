// Places on turned grids with AVX-512, sixteen at a time; included by linear_loop.hpp.
namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

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

__attribute__((noinline)) void places_of(const Affine& a, const Piece& p, std::int64_t from, std::int64_t count,
                                         Places& to, unsigned char* inside) {
  const std::int64_t nz = a.in[0], ny = a.in[1], nx = a.in[2];
  const __m512i row = _mm512_set1_epi32(static_cast<int>(nx)), plane = _mm512_set1_epi32(static_cast<int>(ny * nx));
  const auto next = [](__m512i index, std::int64_t n) __attribute__((always_inline)) {
    return _mm512_cmplt_epu32_mask(index, _mm512_set1_epi32(static_cast<int>(n - 1)));
  };
  const __m512 way_z = way_16(a.m[2]), way_y = way_16(a.m[6]), way_x = way_16(a.m[10]);
  const RowStart start(a, a.m, p.k + a.to[0], p.j + a.to[1]);
  const std::int64_t first = p.i + from;
  for (std::int64_t o = 0; o < count; o += kLanes) {
    __m128i index;
    __m128 offset;
    start.at(first + o + a.to[2], index, offset);
    Line16 z = line_16<0>(index, offset, way_z), y = line_16<1>(index, offset, way_y),
           x = line_16<2>(index, offset, way_x);
    if (a.field) {
      Line16 lines[3];
      displaced_16(a, p.k, p.j, first + o, lines);
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

FASTIMG_ATOM __m256d all_4(double v) { return _mm256_set1_pd(v); }
FASTIMG_ATOM __m256d axes_4(const std::int64_t* n, double last) {
  return _mm256_setr_pd(static_cast<double>(n[0]), static_cast<double>(n[1]), static_cast<double>(n[2]), last);
}

// Of a piece's blocks those of [first, behind) lie no more than `rim` outside of the first and last samples, and only
// [from, until) can have an output in the volume.
struct Runs {
  std::int64_t from, until, first, behind;

  __attribute__((always_inline)) Runs(const Affine& a, const Piece& p, double rim) {
    const double* const m = a.m;
    // the piece's first position along z, y, x; the fourth is always in its volume
    const __m256d step = _mm256_setr_pd(m[2], m[6], m[10], 0), size = axes_4(a.in, 2);
    __m256d at = _mm256_sub_pd(_mm256_setr_pd(m[3], m[7], m[11], 0.5), axes_4(a.from, 0));
    at = _mm256_add_pd(at,
                       _mm256_mul_pd(_mm256_setr_pd(m[0], m[4], m[8], 0), all_4(static_cast<double>(p.k + a.to[0]))));
    at = _mm256_add_pd(at,
                       _mm256_mul_pd(_mm256_setr_pd(m[1], m[5], m[9], 0), all_4(static_cast<double>(p.j + a.to[1]))));
    at = _mm256_add_pd(at, _mm256_mul_pd(step, all_4(static_cast<double>(p.i + a.to[2]))));
    const __m256d length = _mm256_max_pd(_mm256_andnot_pd(all_4(-0.0), step), all_4(1e-12));
    const __m256d inverse = _mm256_div_pd(all_4(1), _mm256_or_pd(length, _mm256_and_pd(step, all_4(-0.0))));
    // more than the lanes' positions in float are off
    const __m256d slack = _mm256_add_pd(all_4(1e-4), _mm256_mul_pd(all_4(1e-4), length));
    // outputs of the row, counted from the piece's first, whose positions lie between two bounds on all axes
    const auto between = [&](__m256d low, __m256d high, double& begin, double& end) __attribute__((always_inline)) {
      low = _mm256_mul_pd(_mm256_sub_pd(low, at), inverse), high = _mm256_mul_pd(_mm256_sub_pd(high, at), inverse);
      const __m256d below = _mm256_min_pd(low, high), above = _mm256_max_pd(low, high);
      const __m128d b = _mm_max_pd(_mm256_castpd256_pd128(below), _mm256_extractf128_pd(below, 1));
      const __m128d e = _mm_min_pd(_mm256_castpd256_pd128(above), _mm256_extractf128_pd(above, 1));
      begin = _mm_cvtsd_f64(_mm_max_sd(b, _mm_unpackhi_pd(b, b)));
      end = _mm_cvtsd_f64(_mm_min_sd(e, _mm_unpackhi_pd(e, e)));
    };
    double begin, end, deep_begin, deep_end;
    between(_mm256_sub_pd(all_4(-0.5), slack), _mm256_add_pd(_mm256_sub_pd(size, all_4(0.5)), slack), begin, end);
    const __m256d low = _mm256_sub_pd(slack, all_4(rim));
    const __m256d high = _mm256_sub_pd(_mm256_add_pd(size, all_4(rim - 1)), slack);
    // along an axis of one sample no two are inside
    between(low, _mm256_max_pd(high, low), deep_begin, deep_end);
    const double blocks = static_cast<double>((p.count + kLanes - 1) / kLanes);
    const auto whole = [blocks](double v) __attribute__((always_inline)) {
      v = v > 0 ? v : 0;
      return static_cast<std::int64_t>(v < blocks ? v : blocks);
    };
    from = a.edge ? 0 : whole(begin / kLanes), until = whole(a.edge ? blocks : end / kLanes + 1);
    first = whole(deep_begin / kLanes + 1), behind = whole((deep_end + 1) / kLanes);
    until = until < from ? from : until;
    first = first < from ? from : first, behind = behind < until ? behind : until;
    if (behind <= first) first = behind = until;
  }
};

// A piece run by run: deep(from, count) where all are within reach, at_rim(from, until) beside; `inside` says where.
template <class Rim, class Deep>
FASTIMG_ATOM void by_runs(const Affine& a, const Piece& p, double rim, unsigned char* inside, Rim at_rim, Deep deep) {
  const Runs runs(a, p, rim);
  const std::int64_t first = kLanes * runs.first, behind = kLanes * runs.behind, until = kLanes * runs.until;
  __builtin_memset(inside, kOutside, static_cast<std::size_t>(p.count));
  at_rim(kLanes * runs.from, first < p.count ? first : p.count);
  if (first < behind) {
    deep(first, behind - first);
    __builtin_memset(inside + first, kWhole, static_cast<std::size_t>(behind - first));
  }
  at_rim(behind, until < p.count ? until : p.count);
}

// Where a block's way from its first place can be counted in float: all its steps are whole numbers below 2^24.
FASTIMG_ATOM bool short_ways(const Affine& a) {
  const auto most = [](double step) __attribute__((always_inline)) { return kLanes * (step < 0 ? -step : step) + 1; };
  return (most(a.m[2]) * static_cast<double>(a.in[1]) + most(a.m[6])) * static_cast<double>(a.in[2]) + most(a.m[10]) <
         16777216.0;
}

// Whole steps of kLanes positions from a block's start along one axis; to: the rest.
FASTIMG_ATOM __m512 way_along(float start, __m512 way, float* to) {
  const __m512 q = _mm512_add_ps(_mm512_set1_ps(start), way);
  const __m512 whole = _mm512_roundscale_ps(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  _mm512_store_ps(to, _mm512_sub_ps(q, whole));
  return whole;
}

// fastimg::block_start of up to kPiece outputs from p.i + from on: places in the volume, and the way to the first
// output.
template <class C>
struct Starts {
  static constexpr std::int64_t most = kPiece / kLanes;
  static_assert(most == 32, "places have a bit a block, and eight blocks are begun at a time");
  alignas(64) std::int32_t at[most];
  alignas(64) C offset[3][most];

  __attribute__((always_inline)) Starts(const Affine& a, const Piece& p, std::int64_t from, std::int64_t blocks) {
    const std::int64_t steps[3] = {a.in[1] * a.in[2], a.in[2], 1};
    const double k = static_cast<double>(p.k + a.to[0]), j = static_cast<double>(p.j + a.to[1]);
    for (std::int64_t b = 0; b < blocks; b += 8) {
      const __m512d i = _mm512_add_pd(_mm512_set1_pd(static_cast<double>(p.i + from + b * kLanes + a.to[2])),
                                      _mm512_setr_pd(0, 16, 32, 48, 64, 80, 96, 112));
      __m256i place = _mm256_setzero_si256();
      for (int axis = 0; axis < 3; ++axis) {
        const double* const m = a.m + 4 * axis;
        const __m512d way =
            _mm512_add_pd(_mm512_add_pd(_mm512_set1_pd(m[0] * k + m[1] * j), times(m[2], i)), _mm512_set1_pd(m[3]));
        const __m512d whole = _mm512_roundscale_pd(way, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
        const __m256i index =
            _mm256_sub_epi32(_mm512_cvttpd_epi32(whole), _mm256_set1_epi32(static_cast<int>(a.from[axis])));
        place = _mm256_add_epi32(place, _mm256_mullo_epi32(index, _mm256_set1_epi32(static_cast<int>(steps[axis]))));
        if constexpr (sizeof(C) == 4)
          _mm256_store_ps(offset[axis] + b, _mm512_cvtpd_ps(_mm512_sub_pd(way, whole)));
        else
          _mm512_store_pd(offset[axis] + b, _mm512_sub_pd(way, whole));
      }
      _mm256_store_si256(reinterpret_cast<__m256i*>(at + b), place);
    }
  }
};

// places_of for blocks whose samples are all in the volume: nothing is tested or clamped. The bits are those of
// lane_position.
__attribute__((noinline)) void deep_places_of(const Affine& a, const Piece& p, std::int64_t from, std::int64_t count,
                                              Places& to) {
  const std::int64_t blocks = count / kLanes;
  const Starts<float> starts(a, p, from, blocks);
  const __m512 way_z = way_16(a.m[2]), way_y = way_16(a.m[6]), way_x = way_16(a.m[10]);
  const __m512 plane = _mm512_set1_ps(static_cast<float>(a.in[1] * a.in[2])),
               row = _mm512_set1_ps(static_cast<float>(a.in[2]));
  for (std::int64_t b = 0, o = 0; b < blocks; ++b, o += kLanes) {
    const __m512 z = way_along(starts.offset[0][b], way_z, to.wz + o),
                 y = way_along(starts.offset[1][b], way_y, to.wy + o),
                 x = way_along(starts.offset[2][b], way_x, to.wx + o);
    const __m512i way = _mm512_cvttps_epi32(_mm512_fmadd_ps(z, plane, _mm512_fmadd_ps(y, row, x)));  // exact
    _mm512_store_si512(to.at[0] + o, _mm512_add_epi32(_mm512_set1_epi32(starts.at[b]), way));
  }
  to.some = to.deep = ~0u >> (Starts<float>::most - blocks);
}

// Places in the volume of the nearest samples, or of the first of the eight around; of blocks that have them all there.
// rests: room for the ways on from the latter along z, y, x, or null.
template <bool nearest>
__attribute__((noinline)) void deep_samples_of(const Affine& a, const Piece& p, std::int64_t from, std::int64_t count,
                                               std::int32_t* at, double (*rests)[kPiece]) {
  const std::int64_t blocks = count / kLanes;
  const Starts<double> starts(a, p, from, blocks);
  const __m512d lanes[2] = {_mm512_setr_pd(0, 1, 2, 3, 4, 5, 6, 7), _mm512_setr_pd(8, 9, 10, 11, 12, 13, 14, 15)};
  const __m512d half = _mm512_set1_pd(0.5), one = _mm512_set1_pd(1);
  const __m512d plane = _mm512_set1_pd(static_cast<double>(a.in[1] * a.in[2])),
                row = _mm512_set1_pd(static_cast<double>(a.in[2]));
  __m512d ways[2][3];
  for (int part = 0; part < 2; ++part)
    for (int axis = 0; axis < 3; ++axis) ways[part][axis] = times(a.m[4 * axis + 2], lanes[part]);
  for (std::int64_t b = 0; b < blocks; ++b)
    for (int part = 0; part < 2; ++part) {
      __m512d sample[3];
      for (int axis = 0; axis < 3; ++axis) {
        const __m512d q = _mm512_add_pd(_mm512_set1_pd(starts.offset[axis][b]), ways[part][axis]);
        const __m512d whole = _mm512_roundscale_pd(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
        const __m512d rest = _mm512_sub_pd(q, whole);
        const __mmask8 up = _mm512_cmp_pd_mask(rest, half, _CMP_GE_OQ);
        if (!nearest && rests) _mm512_store_pd(rests[axis] + b * kLanes + 8 * part, rest);
        sample[axis] = nearest ? _mm512_mask_add_pd(whole, up, whole, one) : whole;
      }
      const __m512d way = _mm512_fmadd_pd(sample[0], plane, _mm512_fmadd_pd(sample[1], row, sample[2]));  // exact
      _mm256_store_si256(reinterpret_cast<__m256i*>(at + b * kLanes + 8 * part),
                         _mm256_add_epi32(_mm256_set1_epi32(starts.at[b]), _mm512_cvttpd_epi32(way)));
    }
}

}  // namespace
}  // namespace fastimg::resampling::FASTIMG_LEVEL
