#include "resampling/label.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "fastimg/vote.cuh"
#include "resampling/fill.hpp"
#include "resampling/tiles.hpp"

namespace fastimg::resampling {
namespace {

constexpr std::int64_t kRows = 16;  // rows a piece of work

int taps_of(const Axis<double>& axis, std::int64_t o) {
  return axis.linear ? (axis.weight[o] == 0.0 ? 1 : 2) : axis.taps;
}
double weight_of(const Axis<double>& axis, std::int64_t o, int t) {
  if (!axis.linear) return axis.weight[t * axis.out + o];
  return t ? axis.weight[o] : 1.0 - axis.weight[o];
}

template <class T>
void label_as(const T* in, T* out, const Axis<double>& z, const Axis<double>& y, const Axis<double>& x,
              const void* outside, int threads) {
  T other;
  std::memcpy(&other, outside, sizeof other);
  const auto inside = [](const Axis<double>& axis, std::int64_t o) { return o >= axis.low && o < axis.high; };
  cpu::parallel_for(z.out * y.out, kRows, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<unsigned char> agree(x.in);  // all rows hold one label here
    std::vector<std::int32_t> until(x.in);   // and from here to there it is the same
    std::vector<const T*> rows(z.taps * y.taps);
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t k = n / y.out, j = n % y.out;
      T* const row = out + n * x.out;
      std::fill_n(row, x.out, other);
      if (!inside(z, k) || !inside(y, j)) continue;
      const int tz = taps_of(z, k), ty = taps_of(y, j);
      for (int t = 0; t < tz; ++t)
        for (int u = 0; u < ty; ++u) rows[t * ty + u] = in + ((z.first[k] + t) * y.in + y.first[j] + u) * x.in;
      std::fill(agree.begin(), agree.end(), 1);
      const T* const first = rows[0];
      for (int r = 1; r < tz * ty; ++r) {
        const T* const next = rows[r];
        unsigned char* const same = agree.data();
        for (std::int64_t i = 0; i < x.in; ++i) same[i] = same[i] & (first[i] == next[i] ? 1 : 0);
      }
      std::int32_t stop = static_cast<std::int32_t>(x.in);
      for (std::int64_t i = x.in; i-- > 0;) {
        if (!agree[i])
          stop = static_cast<std::int32_t>(i);
        else if (i + 1 < x.in && first[i] != first[i + 1])
          stop = static_cast<std::int32_t>(i + 1);
        until[i] = stop;
      }
      for (std::int64_t i = x.low; i < x.high; ++i) {
        const std::int32_t from = x.first[i];
        const int tx = taps_of(x, i);
        if (from + tx <= until[from]) {
          row[i] = first[from];
          continue;
        }
        row[i] = fastimg::vote<T>(
            tz, ty, tx, [&](int t, int u, int v) { return rows[t * ty + u][from + v]; },
            [&](int t, int u, int v) { return weight_of(z, k, t) * weight_of(y, j, u) * weight_of(x, i, v); });
      }
    }
  });
}

// Whether the eight samples from one on are the same; label: it.
template <class T>
bool all_agree(const T* v, std::int64_t row, std::int64_t plane, T& label) {
  label = *v;
  if constexpr (sizeof(T) == 8) {
    const auto pair = [v](std::int64_t at) { return (v[at] == *v) & (v[at + 1] == *v); };
    return pair(0) & pair(row) & pair(plane) & pair(plane + row);
  } else {  // neighbours along x with one load
    using Two = std::conditional_t<sizeof(T) == 1, std::uint16_t,
                                   std::conditional_t<sizeof(T) == 2, std::uint32_t, std::uint64_t>>;
    const auto two = [v](std::int64_t at) {
      Two both;
      std::memcpy(&both, v + at, sizeof both);
      return both;
    };
    const Two a = two(0);
    const T apart = static_cast<T>(a ^ (a >> 8 * sizeof(T)));
    return ((two(row) ^ a) | (two(plane) ^ a) | (two(plane + row) ^ a) | apart) == 0;
  }
}

// Of a block's places: the label where all eight samples agree; a bit for each place where they do not, or are not all
// in the volume.
template <class T>
__attribute__((noinline)) unsigned agreed(const T* in, const std::int32_t* at, const unsigned char* state, int count,
                                          std::int64_t row, std::int64_t plane, T* to) {
  unsigned others = 0;
  for (int l = 0; l < count; ++l)
    if (state[l] != kWhole || !all_agree(in + at[l], row, plane, to[l])) others |= 1u << l;
  return others;
}

template <class T>
void oblique_as(const T* in, T* out, const Affine& a, const void* outside, int threads) {
  T other;
  std::memcpy(&other, outside, sizeof other);
  const PlaceTable& table = FASTIMG_PICK(places);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  const std::int64_t plane = n.y * n.x;
  const bool small = n.z * plane < std::int64_t{1} << 31;
  each_tile(a, threads, [&](const Tiles& tile) {
    Points points, block;
    alignas(64) std::int32_t at[kPiece];
    tile.each([&](const Piece& p) {
      T* const row = out + (p.k * a.out[1] + p.j) * a.out[2] + p.i;
      if (!small) {
        table.where(a, p, points);
        for (std::int64_t i = 0; i < p.count; ++i)
          row[i] = points.inside[i] ? fastimg::vote_8(in, n, point_of(points, i)) : other;
        return;
      }
      table.first(a, p, at, points.inside);
      for (std::int64_t o = 0; o < p.count; o += fastimg::kLanes) {
        const int count = static_cast<int>(std::min<std::int64_t>(fastimg::kLanes, p.count - o));
        unsigned others = agreed(in, at + o, points.inside + o, count, n.x, plane, row + o);
        for (bool found = false; others; others &= others - 1) {
          const int l = __builtin_ctz(others);
          if (points.inside[o + l] == kOutside) {
            row[o + l] = other;
            continue;
          }
          if (!found) table.where(a, {p.k, p.j, p.i + o, fastimg::kLanes}, block), found = true;
          row[o + l] = fastimg::vote_8(in, n, point_of(block, l));
        }
      }
    });
  });
}

}  // namespace

void label(const void* in, void* out, std::int64_t size, const Axis<double>& z, const Axis<double>& y,
           const Axis<double>& x, const void* outside, int threads) {
  with_size(size, [&](auto voxel) {
    using T = decltype(voxel);
    label_as(static_cast<const T*>(in), static_cast<T*>(out), z, y, x, outside, threads);
  });
}

void oblique_label(const void* in, void* out, std::int64_t size, const Affine& a, const void* outside, int threads) {
  with_size(size, [&](auto voxel) {
    using T = decltype(voxel);
    oblique_as(static_cast<const T*>(in), static_cast<T*>(out), a, outside, threads);
  });
}

}  // namespace fastimg::resampling
