#include "resampling/spline.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cpu/aligned.hpp"
#include "cpu/past.hpp"
#include "cpu/spares.hpp"
#include "fastimg/bspline.cuh"
#include "resampling/fill.hpp"

namespace fastimg::resampling {
namespace {

constexpr std::int64_t kPlanes = 4;  // planes a piece of work
constexpr std::int64_t kRows = 8;    // rows a piece of work, each with all its planes

const SplineTable<float>& table_of(const float*) { return FASTIMG_PICK(float_spline); }
const SplineTable<double>& table_of(const double*) { return FASTIMG_PICK(double_spline); }
const RowTable<float>& rows_of(const float*) { return FASTIMG_PICK(float_rows); }
const RowTable<double>& rows_of(const double*) { return FASTIMG_PICK(double_rows); }
template <class C>
constexpr Kind own = sizeof(C) == 4 ? Kind::f32 : Kind::f64;

// Rows of so many values, an odd number of cache lines apart: a column of them meets all sets of a cache.
template <class C>
std::int64_t spread(std::int64_t width) {
  constexpr std::int64_t line = 64 / sizeof(C);
  return width <= kWide ? kWide : ((width + line - 1) / line | 1) * line;
}

// One axis of `width` lines side by side.
template <class C>
class Lines {
 public:
  Lines(const SplineAxis<C>& axis, const Poles<C>& poles, std::int64_t width)
      : table_(table_of(static_cast<const C*>(nullptr))),
        axis_(axis),
        poles_(poles),
        width_(width),
        stride_(spread<C>(width)),
        work_(cpu::aligned<C>((kSplineBlock + axis.taps + 2 * poles.reach()) * stride_)),
        sources_(axis.taps),
        weights_(axis.taps) {}

  // The lines' samples stand in axis.in rows of kind `from`, `step` bytes apart. put(o, rows, weights): output o is
  // their weighted sum. What stands `ahead` is fetched piece by piece.
  template <class Put>
  void run(const char* in, std::int64_t step, Kind from, const Intake<C>& intake, Ahead ahead, Put put) {
    const std::int64_t n = axis_.in, blocks = (n + kSplineBlock - 1) / kSplineBlock, reach = poles_.reach();
    const std::int64_t parts = (width_ + kWide - 1) / kWide, share = ahead.lines / (blocks * parts) + 1;
    const auto filter = table_.filter[static_cast<int>(from)];
    for (std::int64_t b = 0; b < blocks; ++b) {
      if (axis_.begin[b] == axis_.end[b]) continue;
      const std::int64_t first = b * kSplineBlock, left = n - first;
      const std::int64_t length = std::min<std::int64_t>(kSplineBlock + axis_.taps - 1, left);
      rows_.resize(length + 2 * reach);
      for (std::int64_t r = 0; r < length + 2 * reach; ++r)
        rows_[r] = in + fastimg::mirrored(first - reach + r, n) * step;
      for (std::int64_t part = 0; part < parts; ++part) {
        const std::int64_t at = part * kWide, done = std::min((b * parts + part) * share, ahead.lines);
        const Ahead soon{ahead.from ? ahead.from + done * 64 : nullptr, std::min(share, ahead.lines - done)};
        filter(rows_.data(), at, length + 2 * reach, std::min(kWide, width_ - at), poles_, intake, work_.get() + at,
               stride_, soon);
      }
      for (std::int64_t o = axis_.begin[b]; o < axis_.end[b]; ++o) {
        for (int t = 0; t < axis_.taps; ++t) {
          sources_[t] = work_.get() + (reach + axis_.first[o] - first + t) * stride_;
          weights_[t] = axis_.weight[t * axis_.out + o];
        }
        put(o, sources_.data(), weights_.data());
      }
    }
  }

 private:
  const SplineTable<C>& table_;
  const SplineAxis<C>& axis_;
  const Poles<C>& poles_;
  std::int64_t width_, stride_;
  cpu::Aligned<C> work_;
  std::vector<const void*> rows_;
  std::vector<const C*> sources_;
  std::vector<C> weights_;
};

// A plane along y, then x: the columns of y's outputs are turned, kWide rows at a time, so that x is done like y.
template <class C>
class Plane {
 public:
  explicit Plane(const Spline<C>& plan)
      : padded((plan.x.out + kBlock - 1) / kBlock * kBlock),
        table_(table_of(static_cast<const C*>(nullptr))),
        rows_(rows_of(static_cast<const C*>(nullptr))),
        plan_(plan),
        down_(plan.y, plan.poles, plan.x.in),
        across_(plan.x, plan.poles, kWide),
        stride_(spread<C>(plan.x.in)),
        half_(cpu::aligned<C>(plan.y.out * stride_)),
        turned_(cpu::aligned<C>(plan.x.in * kWide)),
        done_(cpu::aligned<C>(padded * kWide)) {
    std::fill(turned_.get(), turned_.get() + plan.x.in * kWide, C(0));
    std::fill(done_.get(), done_.get() + padded * kWide, C(0));
  }

  const std::int64_t padded;  // a row of results in whole blocks
  cpu::Aligned<C> made;       // a plane of results, where one is wanted
  std::vector<char> line;     // a row of voxels

  // Rows of the source `step` bytes apart, of the result `stride` values; whole blocks are written where it has room.
  void run(const char* in, std::int64_t step, Kind from, const Intake<C>& intake, Ahead ahead, C* to,
           std::int64_t stride, bool room, bool past) {
    const Axis<C>&y = plan_.y, &x = plan_.x;
    down_.run(in, step, from, intake, ahead, [&](std::int64_t o, const C* const* rows, const C* weights) {
      rows_.sum(rows, weights, y.taps, half_.get() + o * stride_, x.in);
    });
    const auto turned_row = reinterpret_cast<const char*>(turned_.get());
    for (std::int64_t j = 0; j < y.out; j += kWide) {
      const std::int64_t count = std::min(kWide, y.out - j);
      table_.turn(half_.get() + j * stride_, stride_, turned_.get(), kWide, count, x.in, false);
      across_.run(turned_row, kWide * sizeof(C), own<C>, Intake<C>{}, {turned_row, 0},
                  [&](std::int64_t o, const C* const* rows, const C* weights) {
                    rows_.sum(rows, weights, x.taps, done_.get() + o * kWide, kWide);
                  });
      table_.turn(done_.get(), kWide, to + j * stride, stride, room ? padded : x.out, count, past);
    }
  }

 private:
  const SplineTable<C>& table_;
  const RowTable<C>& rows_;
  const Spline<C>& plan_;
  Lines<C> down_, across_;
  std::int64_t stride_;
  cpu::Aligned<C> half_, turned_, done_;
};

// The z axis of one row of all planes.
template <class C>
struct Stack {
  Lines<C> lines;
  cpu::Aligned<C> sum, kept;
  std::vector<char> line;
  Stack(const Spline<C>& plan, std::int64_t width)
      : lines(plan.z, plan.poles, width), sum(cpu::aligned<C>(plan.row())) {
    std::fill(sum.get(), sum.get() + plan.row(), C(0));
  }
};

// Rows of results to the voxels' type, with what lies outside.
template <class C>
class Writer {
 public:
  Writer(void* out, Kind to, const Spline<C>& plan, const Finish<C>& finish, bool truncate, const void* outside)
      : rows_(rows_of(static_cast<const C*>(nullptr))),
        store_(rows_.store[truncate][static_cast<int>(to)]),
        plan_(plan),
        finish_(finish),
        outside_(outside),
        out_(static_cast<char*>(out)),
        size_(kSizes[static_cast<int>(to)]),
        plain_(to == own<C>),
        past_(plan.z.out * plan.y.out * plan.x.out * size_ >= cpu::kPastCaches) {}

  bool inside(std::int64_t k, std::int64_t j) const {
    const Spline<C>& p = plan_;
    return k >= p.z.low && k < p.z.high && j >= p.y.low && j < p.y.high && p.x.low < p.x.high;
  }
  void fill(std::int64_t k, std::int64_t j) const { fill_with(place(k, j), outside_, size_, plan_.x.out); }
  // row: overwritten; line: memory for a row of voxels.
  void put(std::int64_t k, std::int64_t j, C* row, std::vector<char>& line) const {
    const Axis<C>& x = plan_.x;
    if (finish_.on) rows_.finish(row, finish_, x.out);
    char* made = reinterpret_cast<char*>(row);
    if (!plain_) {
      line.resize(x.out * size_);
      store_(row, made = line.data(), x.out);
    }
    fill_with(made, outside_, size_, x.low);
    fill_with(made + x.high * size_, outside_, size_, x.out - x.high);
    if (past_)
      cpu::copy_past(made, place(k, j), x.out * size_);
    else
      std::memcpy(place(k, j), made, x.out * size_);
  }

 private:
  char* place(std::int64_t k, std::int64_t j) const { return out_ + (k * plan_.y.out + j) * plan_.x.out * size_; }

  const RowTable<C>& rows_;
  void (*store_)(const C*, void*, std::int64_t);
  const Spline<C>& plan_;
  const Finish<C>& finish_;
  const void* outside_;
  char* out_;
  std::int64_t size_;
  bool plain_, past_;
};

Ahead ahead_of(const char* from, const char* end, std::int64_t bytes) {
  return {from < end ? from : end, std::clamp<std::int64_t>(end - from, 0, bytes) / 64};
}

}  // namespace

template <class C>
SplineAxis<C>::SplineAxis(Axis<C> axis) : Axis<C>(std::move(axis)) {
  const std::int64_t blocks = (this->in + kSplineBlock - 1) / kSplineBlock;
  begin.assign(blocks, 0), end.assign(blocks, 0);
  for (std::int64_t o = 0; o < this->out; ++o) {
    const std::int64_t b = this->first[o] / kSplineBlock;
    if (end[b] == 0)
      begin[b] = o;
    else if (end[b] != o)
      throw std::invalid_argument("resampling: a table is not in order");
    end[b] = o + 1;
  }
}

template <class C>
void spline(const void* in, Kind from, void* out, Kind to, const Spline<C>& plan, const Fused<C>& fused, bool truncate,
            const void* outside, C* between, int threads) {
  const SplineAxis<C>&z = plan.z, &y = plan.y, &x = plan.x;
  const std::int64_t size = kSizes[static_cast<int>(from)], row = plan.row(), row_bytes = row * sizeof(C);
  const bool past = plan.between() * static_cast<std::int64_t>(sizeof(C)) >= cpu::kPastCaches;
  const char* const source = static_cast<const char*>(in);
  const std::int64_t source_row = x.in * size, source_plane = y.in * source_row;
  const RowTable<C>& rows = rows_of(static_cast<const C*>(nullptr));
  between = reinterpret_cast<C*>((reinterpret_cast<std::uintptr_t>(between) + 63) / 64 * 64);
  const char* const middle = reinterpret_cast<const char*>(between);
  cpu::Spares<Plane<C>> planes;
  cpu::Spares<Stack<C>> stacks;
  const Writer<C> writer(out, to, plan, fused.finish, truncate, outside);
  if (plan.z_first) {  // between: (z.out, y.in, row)
    cpu::parallel_for(y.in, kRows, threads, [&](std::int64_t begin, std::int64_t end) {
      const auto work = [&](Stack<C>& stack) {
        for (std::int64_t j = begin; j < end; ++j)
          stack.lines.run(source + j * source_row, source_plane, from, fused.intake, {nullptr, 0},
                          [&](std::int64_t o, const C* const* sources, const C* weights) {
                            C* const place = between + (o * y.in + j) * row;
                            rows.sum(sources, weights, z.taps, past ? stack.sum.get() : place, x.in);
                            if (past) cpu::copy_past(stack.sum.get(), place, row_bytes);
                          });
      };
      stacks.with(work, plan, x.in);
      cpu::end_past();
    });
    cpu::parallel_for(z.out, kPlanes, threads, [&](std::int64_t begin, std::int64_t end) {
      const auto work = [&](Plane<C>& plane) {
        const std::int64_t bytes = y.in * row_bytes, padded = plane.padded;
        if (!plane.made) plane.made = cpu::aligned<C>(y.out * padded);
        for (std::int64_t k = begin; k < end; ++k) {
          const char* const here = middle + k * bytes;
          if (k >= z.low && k < z.high)
            plane.run(here, row_bytes, own<C>, Intake<C>{}, ahead_of(here + bytes, middle + z.out * bytes, bytes),
                      plane.made.get(), padded, true, false);
          for (std::int64_t j = 0; j < y.out; ++j)
            writer.inside(k, j) ? writer.put(k, j, plane.made.get() + j * padded, plane.line) : writer.fill(k, j);
        }
      };
      planes.with(work, plan);
      cpu::end_past();
    });
    return;
  }
  cpu::parallel_for(z.in, kPlanes, threads, [&](std::int64_t begin, std::int64_t end) {  // between: (y.out, z.in, row)
    const auto work = [&](Plane<C>& plane) {
      for (std::int64_t k = begin; k < end; ++k) {
        const char* const here = source + k * source_plane;
        plane.run(here, source_row, from, fused.intake,
                  ahead_of(here + source_plane, source + z.in * source_plane, source_plane), between + k * row,
                  z.in * row, true, past);
      }
    };
    planes.with(work, plan);
    cpu::end_past();
  });
  cpu::parallel_for(y.out, kRows, threads, [&](std::int64_t begin, std::int64_t end) {
    const auto work = [&](Stack<C>& stack) {
      const std::int64_t bytes = z.in * row_bytes;
      for (std::int64_t j = begin; j < end; ++j) {
        const char* const here = middle + j * bytes;
        for (std::int64_t k = 0; k < z.out; ++k)
          if (!writer.inside(k, j)) writer.fill(k, j);
        if (j < y.low || j >= y.high) continue;
        stack.lines.run(here, row_bytes, own<C>, Intake<C>{}, ahead_of(here + bytes, middle + y.out * bytes, bytes),
                        [&](std::int64_t o, const C* const* sources, const C* weights) {
                          if (!writer.inside(o, j)) return;
                          rows.sum(sources, weights, z.taps, stack.sum.get(), row);
                          writer.put(o, j, stack.sum.get(), stack.line);
                        });
      }
    };
    stacks.with(work, plan, row);
    cpu::end_past();
  });
}

template <class C>
void coefficients(const void* in, Kind from, C* out, const Spline<C>& plan, const Intake<C>& intake, int threads) {
  const std::int64_t z = plan.z.in, y = plan.y.in, x = plan.x.in;
  const std::int64_t row_bytes = x * kSizes[static_cast<int>(from)], plane_bytes = y * row_bytes;
  const char* const source = static_cast<const char*>(in);
  const RowTable<C>& rows = rows_of(static_cast<const C*>(nullptr));
  cpu::Spares<Plane<C>> planes;
  cpu::Spares<Stack<C>> stacks;
  cpu::parallel_for(z, kPlanes, threads, [&](std::int64_t begin, std::int64_t end) {
    const auto work = [&](Plane<C>& plane) {
      for (std::int64_t k = begin; k < end; ++k) {
        const char* const here = source + k * plane_bytes;
        plane.run(here, row_bytes, from, intake, ahead_of(here + plane_bytes, source + z * plane_bytes, plane_bytes),
                  out + k * y * x, x, false, false);
      }
    };
    planes.with(work, plan);
  });
  cpu::parallel_for(y, kRows, threads, [&](std::int64_t begin, std::int64_t end) {
    const auto work = [&](Stack<C>& stack) {
      const std::int64_t stride = spread<C>(x);
      if (!stack.kept) stack.kept = cpu::aligned<C>(z * stride);  // later blocks need what earlier ones overwrite
      const char* const here = reinterpret_cast<const char*>(stack.kept.get());
      for (std::int64_t j = begin; j < end; ++j) {
        for (std::int64_t k = 0; k < z; ++k) std::copy_n(out + (k * y + j) * x, x, stack.kept.get() + k * stride);
        stack.lines.run(here, stride * sizeof(C), own<C>, Intake<C>{}, {here, 0},
                        [&](std::int64_t o, const C* const* sources, const C* weights) {
                          rows.sum(sources, weights, plan.z.taps, out + (o * y + j) * x, x);
                        });
      }
    };
    stacks.with(work, plan, x);
  });
}

template struct SplineAxis<float>;
template struct SplineAxis<double>;
template void spline(const void*, Kind, void*, Kind, const Spline<float>&, const Fused<float>&, bool, const void*,
                     float*, int);
template void spline(const void*, Kind, void*, Kind, const Spline<double>&, const Fused<double>&, bool, const void*,
                     double*, int);
template void coefficients(const void*, Kind, float*, const Spline<float>&, const Intake<float>&, int);
template void coefficients(const void*, Kind, double*, const Spline<double>&, const Intake<double>&, int);

}  // namespace fastimg::resampling
