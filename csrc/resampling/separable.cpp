#include "resampling/separable.hpp"

#include <algorithm>
#include <cstring>

#include "cpu/aligned.hpp"
#include "resampling/fill.hpp"

namespace fastimg::resampling {
namespace {

constexpr std::int64_t kRows = 64;  // output rows a piece of work: few rows are combined twice at its border

const RowTable<float>& rows_of(const float*) { return FASTIMG_PICK(float_rows); }
const RowTable<double>& rows_of(const double*) { return FASTIMG_PICK(double_rows); }

// The rows of one output plane that are combined along z; each is kept until another one takes its place.
template <class C>
class Plane {
 public:
  Plane(const RowTable<C>& rows, const char* in, Kind from, const Axis<C>& z, const Axis<C>& y, std::int64_t width)
      : rows_(rows),
        in_(in),
        from_(static_cast<int>(from)),
        z_(z),
        height_(y.in),
        width_(width),
        keep_(y.taps),
        stride_((width + kSlack + 15) / 16 * 16),
        memory_(cpu::aligned<C>(stride_ * keep_)),
        held_(keep_),
        sources_(z.taps),
        weights_(z.taps) {}

  void start(std::int64_t k) {
    k_ = k;
    std::fill(held_.begin(), held_.end(), -1);
    for (int t = 0; t < z_.taps && !z_.linear; ++t) weights_[t] = z_.weight[t * z_.out + k];
  }

  const C* row(std::int64_t j) {
    C* place = memory_.get() + j % keep_ * stride_;
    if (held_[j % keep_] != j) {
      combine(j, place);
      held_[j % keep_] = j;
    }
    return place;
  }

 private:
  const void* source(std::int64_t plane, std::int64_t j) const {
    return in_ + (plane * height_ + j) * width_ * kSizes[from_];
  }

  void combine(std::int64_t j, C* place) {
    const std::int64_t first = z_.first[k_];
    if (z_.linear) {
      const C w = z_.weight[k_];
      if (w == C(0)) return rows_.load[from_](source(first, j), place, width_);
      return rows_.load_lerp[from_](source(first, j), source(first + 1, j), w, place, width_);
    }
    for (int t = 0; t < z_.taps; ++t) sources_[t] = source(first + t, j);
    rows_.load_sum[from_](sources_.data(), weights_.data(), z_.taps, place, width_);
  }

  const RowTable<C>& rows_;
  const char* in_;
  int from_;
  const Axis<C>& z_;
  std::int64_t height_, width_, keep_, stride_, k_ = -1;
  cpu::Aligned<C> memory_;
  std::vector<std::int64_t> held_;
  std::vector<const void*> sources_;
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
               const Across<C>& across, const Axis<C>& x, bool truncate, const void* outside, int threads) {
  const RowTable<C>& rows = rows_of(static_cast<const C*>(nullptr));
  const auto store = rows.store[truncate][static_cast<int>(to)];
  const auto finish = truncate || !across.narrow ? nullptr : rows.finish[static_cast<int>(to)];
  const std::int64_t size = kSizes[static_cast<int>(to)], pieces = (y.out + kRows - 1) / kRows;
  char* const target = static_cast<char*>(out);
  const auto fill = [&](char* place, std::int64_t count) { fill_with(place, outside, size, count); };
  const std::int64_t grain = z.out >= 16 ? pieces : 1;
  cpu::parallel_for(z.out * pieces, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    Plane<C> plane(rows, static_cast<const char*>(in), from, z, y, x.in);
    const auto along = cpu::aligned<C>(x.in + kSlack), done = cpu::aligned<C>(across.blocks * kBlock + kSlack);
    std::fill(along.get() + x.in, along.get() + x.in + kSlack, C(0));
    std::vector<const C*> sources(y.taps);
    std::vector<C> weights(y.taps);
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t k = piece / pieces, j0 = piece % pieces * kRows, j1 = std::min(j0 + kRows, y.out);
      if (piece == begin || j0 == 0) plane.start(k);
      for (std::int64_t j = j0; j < j1; ++j) {
        char* const row = target + (k * y.out + j) * x.out * size;
        if (k < z.low || k >= z.high || j < y.low || j >= y.high || x.low >= x.high) {
          fill(row, x.out);
          continue;
        }
        const std::int64_t first = y.first[j];
        const C* source = along.get();
        if (y.linear) {
          const C w = y.weight[j];
          if (w == C(0))
            source = plane.row(first);
          else
            rows.lerp(plane.row(first), plane.row(first + 1), w, along.get(), x.in);
        } else {
          for (int t = 0; t < y.taps; ++t) {
            sources[t] = plane.row(first + t);
            weights[t] = y.weight[t * y.out + j];
          }
          rows.sum(sources.data(), weights.data(), y.taps, along.get(), x.in);
        }
        fill(row, x.low);
        if (finish) {
          finish(source, across, x.low, x.high, row);
        } else {
          rows.across(source, across, done.get());
          store(done.get() + x.low, row + x.low * size, x.high - x.low);
        }
        fill(row + x.high * size, x.out - x.high);
      }
    }
  });
}

template struct Across<float>;
template struct Across<double>;
template void separable(const void*, Kind, void*, Kind, const Axis<float>&, const Axis<float>&, const Across<float>&,
                        const Axis<float>&, bool, const void*, int);
template void separable(const void*, Kind, void*, Kind, const Axis<double>&, const Axis<double>&, const Across<double>&,
                        const Axis<double>&, bool, const void*, int);

}  // namespace fastimg::resampling
