// Cubic B-splines in float32 on an aligned grid, in two kernels where spline.cu takes three: `plane` does y and x of a
// tile of a plane in shared memory, `stack` does z. Lines are marched along, a thread each; the bits are those of
// spline.cu and the CPU. Bytes: the source, the planes at the target's size written and read, the result.
//
// Limits: y and x no finer than the source (at most one output begins at a sample, but for the outermost three), z in
// order, axes of at least 48 samples, 108 KiB of shared memory a block. What is not so goes to spline.cu.
#include "fastimg/bspline.cuh"
#include "fastimg/entries.cuh"
#include "fastimg/interpolate.cuh"

namespace {

using fastimg::i64;
constexpr int kBlock = fastimg::kSplineBlock, kTaps = 4, kHorizon = 13;
// In shared memory a line's sample `begin of the block` stands at kOwn, and what the block reads at [kFront, kRows).
constexpr int kFront = 3, kOwn = kFront + kHorizon, kRows = kOwn + kBlock + kTaps - 1 + kHorizon;
constexpr int kBehind = 2;  // outputs at the rim that begin up to so many samples outside of their taps
constexpr int kWeights = kBlock + 2 * kBehind;
constexpr int kWide = kRows;       // threads: one a column of a tile
constexpr int kPitch = kRows + 4;  // four samples of each of eight rows fall on different banks
constexpr int kStack = 160;        // threads of `stack`: one a column
constexpr int kAhead = 32;         // samples of a line under way

struct Pole {
  float pole, start, end;
};

struct alignas(16) Four {
  float v[4];
};

// Of one axis: n samples; outputs [ranges[2 b], ranges[2 b + 1]) belong to block b.
struct Axis {
  int n, out;
  const int* ranges;
};

__device__ inline int near(int i, int n) {  // mirrored, for i in (-n, 2 n - 1)
  i = i < 0 ? -i : i;
  return i < n ? i : 2 * (n - 1) - i;
}

__device__ inline float weighed(const Four& w, float a, float b, float c, float d) {
  float v = w.v[0] * a;
  v = fastimg::weigh(v, w.v[1], b);
  v = fastimg::weigh(v, w.v[2], c);
  return fastimg::weigh(v, w.v[3], d);
}

// A line whose samples lie `pitch` apart, or beside each other.
template <int pitch>
struct Column {
  float* at;
  __device__ float& one(int l) const { return at[l * pitch]; }
  __device__ Four get(int l) const {
    const float* const s = at + l * pitch;
    return {{s[0], s[pitch], s[2 * pitch], s[3 * pitch]}};
  }
  __device__ void put(int l, const Four& f) const {
    float* const s = at + l * pitch;
    for (int j = 0; j < 4; ++j) s[j * pitch] = f.v[j];
  }
};
struct Row {
  float* at;
  __device__ float& one(int l) const { return at[l]; }
  __device__ Four get(int l) const { return *reinterpret_cast<const Four*>(at + l); }
  __device__ void put(int l, const Four& f) const { *reinterpret_cast<Four*>(at + l) = f; }
};

// A line in device memory: samples `stride` bytes apart, those beside it mirrored.
template <class T>
struct Source {
  const char* from;
  unsigned stride;
  int first, n;  // sample that goes to kFront; samples
  __device__ T mirrored(int l) const { return at(near(first - kFront + l, n)); }
  __device__ T at(int i) const { return *reinterpret_cast<const T*>(from + (fastimg::u64)stride * (unsigned)i); }
  __device__ void begin(T* some) const {
#pragma unroll
    for (int k = 0; k < kAhead; ++k) some[k] = mirrored(k);
  }
};

// Forward recursion of `total` samples of a line into shared memory; kAhead of them are under way, the first in `some`.
// take: with `intake`. rim: some are mirrored. What stands beside the line is not used.
template <bool take, bool rim, class T, class Line>
__device__ void forward_into(const Line& to, Source<T> s, T* some, int total, const Pole& p,
                             const fastimg::Intake<float>& intake) {
  const int end = rim ? kFront + total : kRows;
  if (!rim) s.from += (i64)(s.first - kFront) * s.stride;
  float v = 0;
#pragma unroll(rim ? 1 : kRows / kAhead)
  for (int l = 0; l < end; l += kAhead) {
    const bool more = l + kAhead < end;
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      const float f = take ? fastimg::taken((float)some[k], intake) : (float)some[k];
      v = k == kFront && l == 0 ? fastimg::forward_start(f, p.start) : fastimg::forward(f, v, p.pole);
      to.one(l + k) = v;
      if (more) some[k] = rim ? s.mirrored(l + kAhead + k) : s.at(l + kAhead + k);
    }
  }
}

template <class T, class Line>
__device__ void forward_from(const Line& to, const Source<T>& s, T* some, int total, const Pole& p,
                             const fastimg::Intake<float>& intake) {
  if (intake.on)
    forward_into<true, true>(to, s, some, total, p, intake);
  else if (s.first < kFront || s.first + total > s.n)
    forward_into<false, true>(to, s, some, total, p, intake);
  else
    forward_into<false, false>(to, s, some, total, p, intake);
}

template <class Line>
__device__ void forward_in_place(const Line& line, int total, const Pole& p) {
  const int end = kFront + total;
  float v = fastimg::forward_start(line.one(kFront), p.start);
  line.one(kFront) = v;
  int l = kFront + 1;
  for (Four f = line.get(l); l + 4 <= end; l += 4) {
    const Four next = line.get(l + 4);  // a row has room for it
#pragma unroll
    for (int j = 0; j < 4; ++j) f.v[j] = v = fastimg::forward(f.v[j], v, p.pole);
    line.put(l, f);
    f = next;
  }
  for (; l < end; ++l) line.one(l) = v = fastimg::forward(line.one(l), v, p.pole);
}

// The backward recursion's last steps before outputs begin; c[l % 4] is the coefficient of l. Returns where to go on.
template <class Line>
__device__ int run_in(const Line& line, int total, const Pole& p, float* c) {
  const int last = kFront + total - 1, top = last - kHorizon - kTaps + 1;  // the last sample where an output may begin
  int l = last & ~3;
  const Four f = line.get(l);
#pragma unroll
  for (int j = 3; j >= 0; --j) {
    if (l + j == last)
      c[j] = fastimg::backward_start(f.v[j], p.end);
    else if (l + j < last)
      c[j] = fastimg::backward(f.v[j], c[(j + 1) % 4], p.pole);
  }
#pragma unroll 1
  for (l -= 4; l > top; l -= 4) {
    const Four g = line.get(l);
#pragma unroll
    for (int j = 3; j >= 0; --j) c[j] = fastimg::backward(g.v[j], c[(j + 1) % 4], p.pole);
  }
  return l;
}

__device__ inline float window(const Four& w, const float* c, int j) {
  return weighed(w, c[j], c[(j + 1) % 4], c[(j + 2) % 4], c[(j + 3) % 4]);
}

// Backward recursion; where a sample stood comes the output that begins there. `lowest`, `highest`: the block holds the
// axis's first or last tap.
template <class Line>
__device__ void backward_in_place(const Line& line, int total, bool lowest, bool highest, const Four* weights,
                                  const Pole& p) {
  const Four* const w = weights + kBehind - kOwn;
  float c[4] = {0, 0, 0, 0};
  int l = run_in(line, total, p, c);
  Four f = line.get(l);
  if (highest) {
    const int top = kFront + total - kHorizon - kTaps;
    float one = 0, two = 0;
    Four made;
#pragma unroll
    for (int j = 3; j >= 0; --j) {
      c[j] = fastimg::backward(f.v[j], c[(j + 1) % 4], p.pole);
      if (l + j == top) one = window(w[top + 1], c, j), two = window(w[top + 2], c, j);
      made.v[j] = l + j > top ? 0.0f : window(w[l + j], c, j);
    }
    line.put(l, made);
    line.one(top + 1) = one;
    line.one(top + 2) = two;
    l -= 4;
    f = line.get(l);
  }
#pragma unroll 2
  for (; l >= kOwn; l -= 4) {
    const Four next = line.get(l - 4), w0 = w[l], w1 = w[l + 1], w2 = w[l + 2], w3 = w[l + 3];
    const float d3 = fastimg::backward(f.v[3], c[0], p.pole), d2 = fastimg::backward(f.v[2], d3, p.pole);
    const float d1 = fastimg::backward(f.v[1], d2, p.pole), d0 = fastimg::backward(f.v[0], d1, p.pole);
    line.put(l, {{weighed(w0, d0, d1, d2, d3), weighed(w1, d1, d2, d3, c[0]), weighed(w2, d2, d3, c[0], c[1]),
                  weighed(w3, d3, c[0], c[1], c[2])}});
    c[0] = d0, c[1] = d1, c[2] = d2, c[3] = d3;
    f = next;
  }
  if (lowest) {
    line.one(kOwn - 1) = window(w[kOwn - 1], c, 0);
    line.one(kOwn - 2) = window(w[kOwn - 2], c, 0);
  }
}

// Where a block's samples begin and how many it reads.
struct Part {
  int begin, total;
  bool lowest, highest;
  __device__ Part(int block, int n) : begin(block * kBlock) {
    const int left = n - begin, most = kBlock + kTaps - 1;
    total = (left < most ? left : most) + 2 * kHorizon;
    lowest = block == 0;
    highest = left <= most;
  }
};

// y and x of planes, tile by tile. rows, columns: where an output begins; down, across: weights [that + kBehind].
struct Plane {
  Axis y, x;
  const int *rows, *columns;
  const Four *down, *across;
};

// The thread's column of a tile.
template <class T>
__device__ Source<T> column_of(const T* in, i64 tile, const Plane& g) {
  const int y_blocks = (g.y.n + kBlock - 1) / kBlock, x_blocks = (g.x.n + kBlock - 1) / kBlock;
  const i64 plane = tile / (y_blocks * x_blocks);
  const int block = (int)(tile - plane * (y_blocks * x_blocks)), y = block / x_blocks, last = g.x.n + kHorizon - 1;
  const int i = (block - y * x_blocks) * kBlock - kOwn + (int)threadIdx.x;
  const T* const from = in + plane * g.y.n * g.x.n + near(i < last ? i : last, g.x.n);
  return {reinterpret_cast<const char*>(from), (unsigned)(g.x.n * sizeof(T)), y * kBlock - kHorizon, g.y.n};
}

// One tile. What it reads of the tables is fetched before the samples and then lies in shared memory.
template <class T>
__device__ void tile(float* shared, const Source<T>& source, T* some, float* out, const Plane& g, int y_block,
                     int x_block, const Pole& p, const fastimg::Intake<float>& intake) {
  const int thread = threadIdx.x, lane = thread % 32;
  const int y_first = g.y.ranges[2 * y_block], y_count = g.y.ranges[2 * y_block + 1] - y_first;
  const int x_first = g.x.ranges[2 * x_block], x_count = g.x.ranges[2 * x_block + 1] - x_first;
  const Part v(y_block, g.y.n), h(x_block, g.x.n);
  Four* const w = reinterpret_cast<Four*>(shared + kRows * kPitch);
  int* const places = reinterpret_cast<int*>(w + 2 * kWeights);
  Four down, across;
  int row = 0, column = 0;
  if (thread < kWeights) down = g.down[v.begin + thread], across = g.across[h.begin + thread];
  if (thread < y_count) row = (g.rows[y_first + thread] - v.begin + kOwn) * kPitch;
  if (thread < x_count) column = g.columns[x_first + thread] - h.begin + kOwn;
  const Column<kPitch> mine{shared + thread};
  forward_from(mine, source, some, v.total, p, intake);
  if (thread < kWeights) {
    w[thread] = down, w[kWeights + thread] = across;
    places[thread] = row, places[kWeights + thread] = column;
  }
  __syncthreads();
  backward_in_place(mine, v.total, v.lowest, v.highest, w, p);
  __syncthreads();
  if (thread < y_count) {
    const Row line{shared + row};
    forward_in_place(line, h.total, p);
    backward_in_place(line, h.total, h.lowest, h.highest, w + kWeights, p);
  }
  __syncthreads();
  int at[(kWeights + 31) / 32];
#pragma unroll
  for (int k = 0; k < (kWeights + 31) / 32; ++k) at[k] = lane + 32 * k < x_count ? places[kWeights + lane + 32 * k] : 0;
#pragma unroll 2
  for (int o = thread / 32; o < y_count; o += kWide / 32) {
    const float* const from = shared + places[o];
    float* const to = out + (i64)(y_first + o) * g.x.out + x_first + lane;
#pragma unroll
    for (int k = 0; k < (kWeights + 31) / 32; ++k)
      if (lane + 32 * k < x_count) to[32 * k] = from[at[k]];
  }
}

template <class T>
__device__ void planes(float* shared, const T* in, float* out, i64 count, const Plane& g, const Pole& p,
                       const fastimg::Intake<float>& intake) {
  const int x_blocks = (g.x.n + kBlock - 1) / kBlock, blocks = (g.y.n + kBlock - 1) / kBlock * x_blocks;
  for (i64 work = blockIdx.x; work < count * blocks; work += gridDim.x) {
    const i64 plane = work / blocks;
    const int block = (int)(work - plane * blocks);
    const Source<T> source = column_of(in, work, g);
    T some[kAhead];
    source.begin(some);
    tile(shared, source, some, out + plane * g.y.out * g.x.out, g, block / x_blocks, block % x_blocks, p, intake);
    __syncthreads();
  }
}

// Outputs [low, high) of a line lie inside, and lines a * split + b with a and b in their ranges.
struct Inside {
  int split, a_low, a_high, b_low, b_high, low, high;
};

// z: lines of n samples `inner` apart, `inner` lines a volume. starts: how many outputs' taps begin before each sample;
// weights: of each output, two more at the end. Two outputs a sample are always computed, more in turn.
struct Stack {
  int n, out;
  const int* starts;
  const Four* weights;
};

template <bool is>
struct Is {
  static constexpr bool value = is;
};

template <class U>
__device__ void pile(float* shared, const float* in, U* out, i64 inner, i64 column, int block, const Stack& z,
                     const Pole& p, const Inside& inside, U outside, const fastimg::Finish<float>& finish) {
  const Part v(block, z.n);
  const int top = z.n < v.begin + kBlock ? z.n : v.begin + kBlock, begin = z.starts[v.begin],
            count = z.starts[top] - begin;
  const Column<kStack> mine{shared + threadIdx.x};
  Four* const w = reinterpret_cast<Four*>(shared + kRows * kStack);
  int* const starts = reinterpret_cast<int*>(w + count + 2);
  const i64 here = column < inner ? column : inner - 1;
  const Source<float> source{reinterpret_cast<const char*>(in + here), (unsigned)(inner * sizeof(float)),
                             v.begin - kHorizon, z.n};
  float some[kAhead];
  source.begin(some);
  for (int i = threadIdx.x; i < count + 2; i += kStack) w[i] = z.weights[begin + i];
  for (int i = threadIdx.x; i <= kBlock; i += kStack)
    starts[i] = z.starts[v.begin + i < z.n ? v.begin + i : z.n] - begin;
  forward_from(mine, source, some, v.total, p, fastimg::Intake<float>{0, 0, 0, 0, 0});
  __syncthreads();
  const int a = (int)(here / inside.split), b = (int)(here - (i64)a * inside.split);
  const bool within = a >= inside.a_low && a < inside.a_high && b >= inside.b_low && b < inside.b_high;
  const int first_in = inside.low > begin ? inside.low - begin : 0, behind = inside.high - begin;
  const unsigned low = first_in, span = within && behind > first_in ? behind - first_in : 0;
  const unsigned step = (unsigned)(inner * sizeof(U));
  char* const to = reinterpret_cast<char*>(out + begin * inner + here);
  const bool busy = column < inner;
  // plain: all outputs of the block lie inside and are stored as they are
  const auto backward = [&](auto plain) {
    const auto put = [&](int o, float value) {
      if (!plain.value && finish.on) value = fastimg::finished(value, finish);
      U voxel = fastimg::Store<false, U>::from(value);
      if (!plain.value && o - low >= span) voxel = outside;
      *reinterpret_cast<U*>(to + (fastimg::u64)step * (unsigned)o) = voxel;
    };
    float c[4] = {0, 0, 0, 0};
    int l = run_in(mine, v.total, p, c);
    Four f = mine.get(l);
    int end = starts[l + 4 - kOwn];
    for (; l >= kOwn; l -= 4) {
      const Four next = mine.get(l - 4);
      const int* const s = starts + l - kOwn;
      const int from[5] = {s[0], s[1], s[2], s[3], end};
      Four one[4], two[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) one[j] = w[from[j]], two[j] = w[from[j] + 1];
#pragma unroll
      for (int j = 3; j >= 0; --j) {
        c[j] = fastimg::backward(f.v[j], c[(j + 1) % 4], p.pole);
        const float first = window(one[j], c, j), second = window(two[j], c, j);
        const int last = busy ? from[j + 1] : 0;
        if (from[j] < last) put(from[j], first);
        if (from[j] + 1 < last) put(from[j] + 1, second);
#pragma unroll 1
        for (int o = from[j] + 2; o < last; ++o) put(o, window(w[o], c, j));
      }
      end = from[0];
      f = next;
    }
  };
  if (!finish.on && low == 0 && span >= (unsigned)count)
    backward(Is<true>());
  else
    backward(Is<false>());
}

template <class U>
__device__ void stack(float* shared, const float* in, U* out, i64 volumes, i64 inner, const Stack& z, const Pole& p,
                      const Inside& inside, U outside, const fastimg::Finish<float>& finish) {
  const int blocks = (z.n + kBlock - 1) / kBlock;
  const i64 groups = (inner + kStack - 1) / kStack;
  for (i64 work = blockIdx.x; work < volumes * groups * blocks; work += gridDim.x) {
    const i64 volume = work / groups / blocks, column = work % groups * kStack + threadIdx.x;
    pile(shared, in + volume * z.n * inner, out + volume * z.out * inner, inner, column, (int)(work / groups % blocks),
         z, p, inside, outside, finish);
    __syncthreads();
  }
}

}  // namespace

#define FASTIMG_CUBIC_PLANE(name, T)                                                                                  \
  FASTIMG_WANTED(                                                                                                     \
      plane_##name, extern "C" __global__ void __launch_bounds__(kWide, 2)                                            \
                        plane_##name(const T* in, float* out, long long count, int y, int y_out, const int* y_ranges, \
                                     const int* rows, const float* down, int x, int x_out, const int* x_ranges,       \
                                     const int* columns, const float* across, float pole, float start, float end,     \
                                     int take, float slope, float intercept, float low, float high) {                 \
                          FASTIMG_DYNAMIC_SHARED(float, shared_##name);                                               \
                          planes<T>(shared_##name, in, out, count,                                                    \
                                    {{y, y_out, y_ranges},                                                            \
                                     {x, x_out, x_ranges},                                                            \
                                     rows,                                                                            \
                                     columns,                                                                         \
                                     reinterpret_cast<const Four*>(down),                                             \
                                     reinterpret_cast<const Four*>(across)},                                          \
                                    {pole, start, end}, {take, slope, intercept, low, high});                         \
                        })
#define FASTIMG_CUBIC_STACK(name, U)                                                                                   \
  FASTIMG_WANTED(                                                                                                      \
      stack_##name,                                                                                                    \
      extern "C" __global__ void __launch_bounds__(kStack, 2) stack_##name(                                            \
          const float* in, U* out, long long volumes, long long inner, int n, int outputs, const int* starts,          \
          const float* weights, float pole, float start, float end, int split, int a_low, int a_high, int b_low,       \
          int b_high, int low, int high, U outside, int last, float shift, float scale) {                              \
        FASTIMG_DYNAMIC_SHARED(float, shared_##name);                                                                  \
        stack<U>(shared_##name, in, out, volumes, inner, {n, outputs, starts, reinterpret_cast<const Four*>(weights)}, \
                 {pole, start, end}, {split, a_low, a_high, b_low, b_high, low, high}, outside, {last, shift, scale}); \
      })
#define FASTIMG_CUBIC(name, T) \
  FASTIMG_CUBIC_PLANE(name, T) \
  FASTIMG_CUBIC_STACK(name, T)
FASTIMG_CUBIC(int8, signed char)
FASTIMG_CUBIC(uint8, unsigned char)
FASTIMG_CUBIC(int16, short)
FASTIMG_CUBIC(uint16, unsigned short)
FASTIMG_CUBIC(float32, float)
