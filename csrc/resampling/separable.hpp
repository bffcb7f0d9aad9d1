// Separable interpolation on an axis-aligned grid: rows of a source plane are combined along y, then within the row
// along x; the planes so made are combined along z.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/pool.hpp"
#include "fastimg/interpolate.cuh"

namespace fastimg::resampling {

enum class Kind : int { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64 };
constexpr int kKinds = 10;
constexpr std::int64_t kSizes[kKinds] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};

// What an output index takes from the input along one axis. `linear`: first[o], weight[o] of the next sample (not read
// where it is 0). Else: `taps` samples from first[o] on, weight[t * out + o].
template <class C>
struct Axis {
  std::int64_t in = 0, out = 0;
  std::int64_t low = 0, high = 0;  // output indices inside the volume: [low, high)
  int taps = 2;
  bool linear = true;
  std::vector<std::int32_t> first;
  std::vector<C> weight;
};

// What a fused plan does with samples and results.
template <class C>
struct Fused {
  Intake<C> intake{0, C(1), C(0), C(0), C(0)};
  Finish<C> finish{0, C(0), C(1)};
};

constexpr std::int64_t kBlock = 16;  // outputs a block of the x pass
constexpr std::int64_t kSlack = 64;  // room behind a row of the arithmetic's type: blocks are read and written whole

// The x axis in whole blocks: where a block's outputs all lie in 32 samples, registers are permuted instead of
// gathered.
template <class C>
struct Across {
  std::int64_t out = 0, blocks = 0;
  int taps = 2;
  bool linear = true, narrow = false;
  std::vector<std::int32_t> base;            // a block's first sample
  cpu::Aligned<std::int32_t> first, second;  // samples; second: the next one where it has weight
  cpu::Aligned<std::int32_t> rel, next;      // the same, counted from the block's first
  cpu::Aligned<C> weight;                    // tap after tap; all tables are padded to whole blocks
  explicit Across(const Axis<C>& axis);
};

template <class C>
struct RowTable {
  // from the voxels' type
  void (*load[kKinds])(const void* a, C* out, std::int64_t n);
  void (*load_lerp[kKinds])(const void* a, const void* b, C w, C* out, std::int64_t n);
  void (*load_sum[kKinds])(const void* const* rows, const C* weights, int taps, C* out, std::int64_t n);
  // within the arithmetic's type
  void (*intake)(C* row, const Intake<C>& intake, std::int64_t n);
  void (*finish)(C* row, const Finish<C>& finish, std::int64_t n);
  void (*lerp)(const C* a, const C* b, C w, C* out, std::int64_t n);
  void (*sum)(const C* const* rows, const C* weights, int taps, C* out, std::int64_t n);
  void (*across)(const C* row, const Across<C>& x, C* out);
  // to the voxels' type; the second of each pair for rounding towards zero
  void (*store[2][kKinds])(const C* row, void* out, std::int64_t n);
  void (*lerp_store[2][kKinds])(const C* a, const C* b, C w, void* out, std::int64_t n);
};
FASTIMG_DECLARE_TABLE(RowTable<float>, float_rows)
FASTIMG_DECLARE_TABLE(RowTable<double>, double_rows)

// in (z.in, y.in, x.in) of kind `from`, out (z.out, y.out, x.out) of kind `to`, both contiguous. `outside`: one voxel
// of kind `to`, written where the grid leaves the volume.
template <class C>
void separable(const void* in, Kind from, void* out, Kind to, const Axis<C>& z, const Axis<C>& y,
               const Across<C>& across, const Axis<C>& x, const Fused<C>& fused, bool truncate, const void* outside,
               int threads);

}  // namespace fastimg::resampling
