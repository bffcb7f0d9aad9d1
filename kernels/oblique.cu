// Interpolation on any affine grid, with displacements where they are given: kernels/fastimg/oblique.cuh. A block walks
// a tile of 32 x 8 columns through kDepth planes, so that what neighbours read lies in the cache. Sizes: in z, y, x,
// out z, y, x.
#include "fastimg/entries.cuh"
#include "fastimg/oblique.cuh"

namespace {

using fastimg::i64;
constexpr int kTileX = 32, kTileY = 8, kDepth = 32;

struct Grid {
  fastimg::Box in;
  int depth, height, width;
  double m[12];           // 3 x 4
  const double* field_m;  // the source's inverse affine, 3 x 3
  const void* field;      // (x, y, z) mm of each output: float (kind 1) or double (2); kind 0: none
  int kind, edge;
  int far;  // positions may lie beyond 1e9
};

template <class C>
struct Spot {
  int z, y, x;
  C wz, wy, wx;
};

// What the positions of a column (j, i) share, for each axis of the source; a row's blocks of 16 start where the CPU's
// do.
template <class C>
struct Column {
  int j, i;
  double row[3], block[3];
  C way[3];
  __device__ Column(const Grid& g, int j, int i) : j(j), i(i) {
    const int lane = i % fastimg::kLanes;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      row[a] = g.m[4 * a + 1] * (double)j;
      block[a] = g.m[4 * a + 2] * (double)(i - lane);
      way[a] = (C)lane * (C)g.m[4 * a + 2];
    }
  }
};

// The position of target voxel (k, j, i), the n-th of its volume.
template <class C>
__device__ Spot<C> spot_at(const Grid& g, const Column<C>& c, i64 n, int k) {
  int index[3];
  C rest[3];
  const double plane = (double)k;
  if (g.kind) {
    const float* const narrow = (const float*)g.field + 3 * n;
    const double* const wide = (const double*)g.field + 3 * n;
    const double dx = g.kind == 2 ? wide[0] : narrow[0], dy = g.kind == 2 ? wide[1] : narrow[1],
                 dz = g.kind == 2 ? wide[2] : narrow[2];
#pragma unroll
    for (int a = 0; a < 3; ++a)
      fastimg::displaced_position(g.m + 4 * a, g.field_m + 3 * a, plane, (double)c.j, (double)c.i, dx, dy, dz, index[a],
                                  rest[a]);
  } else {
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      double p = ((g.m[4 * a] * plane + c.row[a]) + c.block[a]) + g.m[4 * a + 3];
      if (g.far) p = fastimg::within_reach(p);
      fastimg::moved_position(fastimg::start_at<C>(p), c.way[a], index[a], rest[a]);
    }
  }
  return {index[0], index[1], index[2], rest[0], rest[1], rest[2]};
}

template <class C>
__device__ bool inside(const Grid& g, const Spot<C>& s) {
  return g.edge || (fastimg::inside(s.z, s.wz, (int)g.in.z) && fastimg::inside(s.y, s.wy, (int)g.in.y) &&
                    fastimg::inside(s.x, s.wx, (int)g.in.x));
}

// f(place, volume of the source, spot) for all voxels.
template <class C, class F>
__device__ void each_spot(i64 volumes, const Grid& g, F f) {
  const int depth = g.depth, height = g.height, width = g.width, across = (width + kTileX - 1) / kTileX,
            down = (height + kTileY - 1) / kTileY;
  const int slabs = (depth + kDepth - 1) / kDepth;
  const i64 source = g.in.z * g.in.y * g.in.x, along = (i64)height * width;
  for (i64 tile = blockIdx.x; tile < volumes * slabs * down * across; tile += gridDim.x) {
    const i64 layer = tile / ((i64)down * across), volume = layer / slabs;
    const int within = (int)(tile - layer * down * across), first = (int)(layer % slabs) * kDepth;
    const int j = within / across * kTileY + (int)threadIdx.x / kTileX;
    const int i = within % across * kTileX + (int)threadIdx.x % kTileX;
    if (i >= width || j >= height) continue;
    const Column<C> column(g, j, i);
    const int last = first + kDepth < depth ? first + kDepth : depth;
    i64 n = first * along + (i64)j * width + i;
    for (int k = first; k < last; ++k, n += along)
      f(volume * depth * along + n, volume * source, spot_at<C>(g, column, n, k));
  }
}

__device__ bool between(int i, i64 n) { return (unsigned)i < (unsigned)((int)n - 1); }  // as is i + 1

template <int D, class T, class U, class C, bool truncate>
__device__ void oblique_walk(const T* in, U* out, i64 volumes, const Grid& g, U outside, fastimg::Intake<C> intake,
                             fastimg::Finish<C> finish) {
  const fastimg::Box& n = g.in;
  each_spot<C>(volumes, g, [&](i64 place, i64 volume, const Spot<C>& s) {
    C v;
    if (D == 1 && between(s.z, n.z) && between(s.y, n.y) && between(s.x, n.x)) {  // nothing to clamp
      const T* const corner = in + volume + (s.z * n.y + s.y) * n.x + s.x;
      const T* const beyond = corner + n.y * n.x;
      v = fastimg::trilinear(corner, beyond, corner + n.x, beyond + n.x, 0, 1, intake, s.wz, s.wy, s.wx);
    } else if (inside(g, s)) {
      v = fastimg::sample_at<D, C>(in + volume, intake, n, s.z, s.y, s.x, s.wz, s.wy, s.wx);
    } else {
      out[place] = outside;
      return;
    }
    if (finish.on) v = fastimg::finished(v, finish);
    out[place] = fastimg::Store<truncate, U>::from(v);
  });
}

// The usual case stands alone: what it leaves out would take issue slots even where it is not done.
template <int D, class T, class U, class C, bool truncate>
__device__ void oblique_each(const T* in, U* out, i64 volumes, Grid g, U outside, fastimg::Intake<C> intake,
                             fastimg::Finish<C> finish) {
  if (g.far || g.kind || intake.on || finish.on) {
    oblique_walk<D, T, U, C, truncate>(in, out, volumes, g, outside, intake, finish);
  } else {
    g.far = g.kind = intake.on = finish.on = 0;
    oblique_walk<D, T, U, C, truncate>(in, out, volumes, g, outside, intake, finish);
  }
}

template <bool label, class T>
__device__ void moved_each(const T* in, T* out, i64 volumes, const Grid& g, T outside) {
  const fastimg::Box& n = g.in;
  each_spot<double>(volumes, g, [&](i64 place, i64 volume, const Spot<double>& s) {
    const fastimg::Point p = {s.z, s.y, s.x, s.wz, s.wy, s.wx, inside(g, s)};
    T value = outside;
    if (p.inside) value = label ? fastimg::vote_8(in + volume, n, p) : fastimg::nearest_at(in + volume, n, p);
    out[place] = value;
  });
}

}  // namespace

// The arguments that describe the grids, and the struct made of them.
#define FASTIMG_GRIDS                                                                                                  \
  int in_z, int in_y, int in_x, int out_z, int out_y, int out_x, double m0, double m1, double m2, double m3,           \
      double m4, double m5, double m6, double m7, double m8, double m9, double m10, double m11, const double *field_m, \
      const void *field, int kind, int edge, int far
#define FASTIMG_GRID                                   \
  {{in_z, in_y, in_x},                                 \
   out_z,                                              \
   out_y,                                              \
   out_x,                                              \
   {m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11}, \
   field_m,                                            \
   field,                                              \
   kind,                                               \
   edge,                                               \
   far}
// Names: degree, input, output, arithmetic; _truncate rounds towards zero. Degrees 2 to 5 read coefficients.
#define FASTIMG_OBLIQUE(degree, name, T, U, C, truncate)                                                         \
  FASTIMG_WANTED(                                                                                                \
      oblique_##degree##_##name, extern "C" __global__ void oblique_##degree##_##name(                           \
                                     const T* in, U* out, long long volumes, FASTIMG_GRIDS, U outside, int take, \
                                     C slope, C intercept, C low, C high, int end, C shift, C scale) {           \
        oblique_each<degree, T, U, C, truncate>(in, out, volumes, FASTIMG_GRID, outside,                         \
                                                {take, slope, intercept, low, high}, {end, shift, scale});       \
      })
#define FASTIMG_SPLINES(name, T, U, C, truncate) \
  FASTIMG_OBLIQUE(1, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(2, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(3, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(4, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(5, name, T, U, C, truncate)
#define FASTIMG_WIDE(name, T)                                              \
  FASTIMG_OBLIQUE(1, name##_##name##_float64, T, T, double, false)         \
  FASTIMG_OBLIQUE(1, name##_##name##_float64_truncate, T, T, double, true) \
  FASTIMG_OBLIQUE(1, name##_float64_float64, T, double, double, false)     \
  FASTIMG_SPLINES(float64_##name##_float64, double, T, double, false)      \
  FASTIMG_SPLINES(float64_##name##_float64_truncate, double, T, double, true)
#define FASTIMG_SMALL(name, T)                                       \
  FASTIMG_OBLIQUE(1, name##_##name##_float32, T, T, float, false)    \
  FASTIMG_OBLIQUE(1, name##_float32_float32, T, float, float, false) \
  FASTIMG_SPLINES(float32_##name##_float32, float, T, float, false)  \
  FASTIMG_WIDE(name, T)
FASTIMG_SMALL(int8, signed char)
FASTIMG_SMALL(uint8, unsigned char)
FASTIMG_SMALL(int16, short)
FASTIMG_SMALL(uint16, unsigned short)
FASTIMG_WIDE(int32, int)
FASTIMG_WIDE(uint32, unsigned int)
FASTIMG_WIDE(int64, long long)
FASTIMG_WIDE(uint64, unsigned long long)
FASTIMG_SPLINES(float32_float32_float32, float, float, float, false)
FASTIMG_OBLIQUE(1, float32_float64_float64, float, double, double, false)
FASTIMG_SPLINES(float64_float64_float64, double, double, double, false)

#define FASTIMG_MOVED(name, T)                                                                                      \
  FASTIMG_WANTED(                                                                                                   \
      oblique_nearest_##name, extern "C" __global__ void oblique_nearest_##name(                                    \
                                  const T* in, T* out, long long volumes, FASTIMG_GRIDS, T outside) {               \
        moved_each<false>(in, out, volumes, FASTIMG_GRID, outside);                                                 \
      })                                                                                                            \
  FASTIMG_WANTED(                                                                                                   \
      oblique_label_##name, extern "C" __global__ void oblique_label_##name(const T* in, T* out, long long volumes, \
                                                                            FASTIMG_GRIDS, T outside) {             \
        moved_each<true>(in, out, volumes, FASTIMG_GRID, outside);                                                  \
      })
FASTIMG_MOVED(uint8, unsigned char)
FASTIMG_MOVED(uint16, unsigned short)
FASTIMG_MOVED(uint32, unsigned int)
FASTIMG_MOVED(uint64, unsigned long long)
