#include "resampling/separable.hpp"

#include <algorithm>
#include <cstring>

#include "cpu/aligned.hpp"
#include "resampling/fill.hpp"

namespace fastimg::resampling {
namespace {

constexpr std::int64_t kPlanes = 64;            // output planes a piece of work, at least
constexpr std::int64_t kTileBytes = 192 << 10;  // of interpolated source planes a piece keeps: within L2

const RowTable<float>& rows_of(const float*) { return FASTIMG_PICK(float_rows); }
const RowTable<double>& rows_of(const double*) { return FASTIMG_PICK(double_rows); }

// A tile of source planes, each interpolated along y and x once and kept until another one takes its place.
template <class C>
class Tile {
 public:
  Tile(const RowTable<C>& rows, const char* in, Kind from, const Axis<C>& y, const Across<C>& across, const Axis<C>& x,
       const Fused<C>& fused, std::int64_t begin, std::int64_t end, const Axis<C>& z)
      : rows_(rows),
        in_(in),
        from_(static_cast<int>(from)),
        y_(y),
        across_(across),
        fused_(fused),
        begin_(begin),
        height_(end - begin),
        width_(x.in),
        stride_(row_of(across)),
        room_(width_ + kSlack),
        depth_(z.in),
        ahead_(z.first.back() < z.first.front() ? -1 : 1),
        memory_(cpu::aligned<C>(stride_ * height_ * z.taps)),
        along_(cpu::aligned<C>(room_)),
        held_(z.taps, -1),
        sources_(y.taps),
        own_(y.taps),
        weights_(y.taps) {
    std::fill(along_.get(), along_.get() + room_, C(0));
    if (!fused.intake.on) return;
    taken_ = cpu::aligned<C>(room_ * y.taps);
    std::fill(taken_.get(), taken_.get() + room_ * y.taps, C(0));
    kept_.resize(y.taps);
  }

  static std::int64_t row_of(const Across<C>& across) { return across.blocks * kBlock; }

  // Row j (counted from the tile's first) of source plane k.
  const C* row(std::int64_t k, std::int64_t j) {
    const std::int64_t slot = k % static_cast<std::int64_t>(held_.size());
    if (held_[slot] != k) make(k, slot), held_[slot] = k;
    return memory_.get() + (slot * height_ + j) * stride_;
  }

 private:
  const char* source(std::int64_t k, std::int64_t j) const { return in_ + (k * y_.in + j) * width_ * kSizes[from_]; }

  const C* taken(std::int64_t k, std::int64_t j) {
    const std::int64_t slot = j % y_.taps;
    C* const place = taken_.get() + slot * room_;
    if (kept_[slot] != j) {
      rows_.load[from_](source(k, j), place, width_);
      rows_.intake(place, fused_.intake, width_);
      kept_[slot] = j;
    }
    return place;
  }

  // Row `o` of the target's y axis in source plane k, before the x pass.
  const C* combined(std::int64_t k, std::int64_t o) {
    const std::int64_t first = y_.first[o];
    C* const along = along_.get();
    if (fused_.intake.on) {
      if (y_.linear) {
        const C w = y_.weight[o];
        if (w == C(0)) return taken(k, first);
        rows_.lerp(taken(k, first), taken(k, first + 1), w, along, width_);
      } else {
        for (int t = 0; t < y_.taps; ++t) own_[t] = taken(k, first + t), weights_[t] = y_.weight[t * y_.out + o];
        rows_.sum(own_.data(), weights_.data(), y_.taps, along, width_);
      }
    } else if (y_.linear) {
      const C w = y_.weight[o];
      if (w == C(0))
        rows_.load[from_](source(k, first), along, width_);
      else
        rows_.load_lerp[from_](source(k, first), source(k, first + 1), w, along, width_);
    } else {
      for (int t = 0; t < y_.taps; ++t) sources_[t] = source(k, first + t), weights_[t] = y_.weight[t * y_.out + o];
      rows_.load_sum[from_](sources_.data(), weights_.data(), y_.taps, along, width_);
    }
    return along;
  }

  // The hardware follows rows, but not from a plane's tile to the next plane's.
  void fetch(std::int64_t k, std::int64_t j) {
    if (j == fetched_) return;
    fetched_ = j;
    const char* const from = source(k, j);
    for (std::int64_t i = 0; i < width_ * kSizes[from_] * 3 / 2; i += 64) __builtin_prefetch(from + i, 0, 2);
  }

  void make(std::int64_t k, std::int64_t slot) {
    std::fill(kept_.begin(), kept_.end(), -1);
    for (std::int64_t j = 0; j < height_; ++j) {
      const std::int64_t o = begin_ + j;
      if (o < y_.low || o >= y_.high) continue;
      if (k + ahead_ >= 0 && k + ahead_ < depth_) fetch(k + ahead_, y_.first[o]);
      rows_.across(combined(k, o), across_, memory_.get() + (slot * height_ + j) * stride_);
    }
  }

  const RowTable<C>& rows_;
  const char* in_;
  int from_;
  const Axis<C>& y_;
  const Across<C>& across_;
  const Fused<C>& fused_;
  std::int64_t begin_, height_, width_, stride_, room_, depth_, ahead_, fetched_ = -1;
  cpu::Aligned<C> memory_, along_, taken_;
  std::vector<std::int64_t> held_, kept_;
  std::vector<const void*> sources_;
  std::vector<const C*> own_;
  std::vector<C> weights_;
};

}  // namespace

template <class C>
Across<C>::Across(const Axis<C>& axis)
    : out(axis.out), blocks((axis.out + kBlock - 1) / kBlock), taps(axis.linear ? 1 : axis.taps), linear(axis.linear) {
  const std::int64_t padded = blocks * kBlock;
  for (auto* table : {&first, &second, &rel, &next}) *table = cpu::aligned<std::int32_t>(padded);
  weight = cpu::aligned<C>(padded * taps);
  base.assign(blocks, 0);
  for (std::int64_t o = 0; o < padded; ++o) {
    const std::int64_t from = std::min(o, out - 1);  // the padding repeats the last output
    first[o] = axis.first[from];
    second[o] = first[o] + (linear && axis.weight[from] != C(0) ? 1 : 0);
    for (int t = 0; t < taps; ++t) weight[t * padded + o] = axis.weight[t * out + from];
  }
  narrow = true;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int32_t* const begin = first.get() + b * kBlock;
    base[b] = *std::min_element(begin, begin + kBlock);
    for (std::int64_t o = b * kBlock; o < (b + 1) * kBlock; ++o) {
      rel[o] = first[o] - base[b];
      next[o] = second[o] - base[b];
      narrow = narrow && rel[o] + (linear ? 1 : taps - 1) < 32;
    }
  }
}

template <class C>
void separable(const void* in, Kind from, void* out, Kind to, const Axis<C>& z, const Axis<C>& y,
               const Across<C>& across, const Axis<C>& x, const Fused<C>& fused, bool truncate, const void* outside,
               int threads) {
  const RowTable<C>& rows = rows_of(static_cast<const C*>(nullptr));
  const auto store = rows.store[truncate][static_cast<int>(to)];
  const auto lerp_store = rows.lerp_store[truncate][static_cast<int>(to)];
  const std::int64_t size = kSizes[static_cast<int>(to)], wide = std::max<std::int64_t>(0, x.high - x.low);
  const std::int64_t row_bytes = Tile<C>::row_of(across) * static_cast<std::int64_t>(sizeof(C));
  const std::int64_t height = std::clamp<std::int64_t>(kTileBytes / (z.taps * row_bytes), 4, 64);
  const std::int64_t depth = std::max<std::int64_t>(kPlanes, 8 * z.taps);
  const std::int64_t tiles = (y.out + height - 1) / height, slabs = (z.out + depth - 1) / depth;
  char* const target = static_cast<char*>(out);
  const auto fill = [&](char* place, std::int64_t count) { fill_with(place, outside, size, count); };
  cpu::parallel_for(tiles * slabs, 1, threads, [&](std::int64_t piece, std::int64_t) {
    const std::int64_t j0 = piece % tiles * height, j1 = std::min(j0 + height, y.out);
    const std::int64_t k0 = piece / tiles * depth, k1 = std::min(k0 + depth, z.out);
    Tile<C> tile(rows, static_cast<const char*>(in), from, y, across, x, fused, j0, j1, z);
    const auto sum = cpu::aligned<C>(across.blocks * kBlock);
    std::vector<const C*> sources(z.taps);
    std::vector<C> weights(z.taps);
    for (std::int64_t k = k0; k < k1; ++k) {
      const bool between = k >= z.low && k < z.high;
      for (int t = 0; t < z.taps && !z.linear; ++t) weights[t] = z.weight[t * z.out + k];
      for (std::int64_t j = j0; j < j1; ++j) {
        char* const row = target + (k * y.out + j) * x.out * size;
        if (!between || j < y.low || j >= y.high || wide == 0) {
          fill(row, x.out);
          continue;
        }
        char* const place = row + x.low * size;
        const std::int64_t first = z.first[k];
        if (z.linear) {
          const C w = z.weight[k];
          const C* const a = tile.row(first, j - j0) + x.low;
          const C* const b = w == C(0) ? a : tile.row(first + 1, j - j0) + x.low;
          if (!fused.finish.on) {
            w == C(0) ? store(a, place, wide) : lerp_store(a, b, w, place, wide);
          } else {
            rows.lerp(a, b, w, sum.get(), wide);
          }
        } else {
          for (int t = 0; t < z.taps; ++t) sources[t] = tile.row(first + t, j - j0) + x.low;
          rows.sum(sources.data(), weights.data(), z.taps, sum.get(), wide);
        }
        if (fused.finish.on) rows.finish(sum.get(), fused.finish, wide);
        if (fused.finish.on || !z.linear) store(sum.get(), place, wide);
        fill(row, x.low);
        fill(row + x.high * size, x.out - x.high);
      }
    }
  });
}

template struct Across<float>;
template struct Across<double>;
template void separable(const void*, Kind, void*, Kind, const Axis<float>&, const Axis<float>&, const Across<float>&,
                        const Axis<float>&, const Fused<float>&, bool, const void*, int);
template void separable(const void*, Kind, void*, Kind, const Axis<double>&, const Axis<double>&, const Across<double>&,
                        const Axis<double>&, const Fused<double>&, bool, const void*, int);

}  // namespace fastimg::resampling
