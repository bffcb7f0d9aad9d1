#include "resampling/oblique.hpp"

#include <algorithm>
#include <cstring>

#include "cpu/aligned.hpp"
#include "cpu/past.hpp"
#include "resampling/fill.hpp"
#include "resampling/tiles.hpp"

namespace fastimg::resampling {
namespace {

const RowTable<float>& rows_of(const float*) { return FASTIMG_PICK(float_rows); }
const RowTable<double>& rows_of(const double*) { return FASTIMG_PICK(double_rows); }
const ObliqueTable<float>& table_of(const float*) { return FASTIMG_PICK(float_oblique); }
const ObliqueTable<double>& table_of(const double*) { return FASTIMG_PICK(double_oblique); }

// fill(start, stop) for each run of voxels outside.
template <class F>
void for_gaps(const unsigned char* inside, std::int64_t count, F fill) {
  for (std::int64_t i = 0; i < count;) {
    const void* const gap = std::memchr(inside + i, 0, static_cast<std::size_t>(count - i));
    if (!gap) return;
    const std::int64_t start = static_cast<const unsigned char*>(gap) - inside;
    std::int64_t stop = start;
    while (stop < count && !inside[stop]) ++stop;
    fill(start, stop);
    i = stop;
  }
}

}  // namespace

template <class C>
void oblique(const void* in, Kind from, void* out, Kind to, const Affine& a, int degree, const Fused<C>& fused,
             bool truncate, const void* outside, int threads) {
  const auto& table = table_of(static_cast<const C*>(nullptr));
  const RowTable<C>& rows = rows_of(static_cast<const C*>(nullptr));
  const auto store = rows.store[truncate][static_cast<int>(to)];
  const std::int64_t size = kSizes[static_cast<int>(to)];
  const bool past =
      size >= 4 && a.out[0] * a.out[1] * a.out[2] * size >= cpu::kPastCaches;  // half as many bytes gain nothing
  each_tile(a, threads, [&](const Tiles& tile) {
    const auto row = cpu::aligned<C>(kPiece + kSlack);
    std::fill_n(row.get(), kPiece + kSlack, C(0));
    std::vector<unsigned char> inside(kPiece + kSlack);
    alignas(64) char stored[8 * kPiece];
    tile.each([&](const Piece& p) {
      if (degree == 1)
        table.linear[static_cast<int>(from)](in, a, fused, p, row.get(), inside.data());
      else
        table.spline[degree](static_cast<const C*>(in), a, p, row.get(), inside.data());
      if (fused.finish.on) rows.finish(row.get(), fused.finish, p.count);
      char* const place = static_cast<char*>(out) + ((p.k * a.out[1] + p.j) * a.out[2] + p.i) * size;
      char* const target = past ? stored : place;
      store(row.get(), target, p.count);
      for_gaps(inside.data(), p.count, [&](std::int64_t start, std::int64_t stop) {
        fill_with(target + start * size, outside, size, stop - start);
      });
      if (past) cpu::copy_past(stored, place, p.count * size);
    });
    if (past) cpu::end_past();
  });
}

void oblique_nearest(const void* in, void* out, std::int64_t size, const Affine& a, const void* outside, int threads) {
  const PlaceTable& places_of = FASTIMG_PICK(places);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  const bool small = n.z * n.y * n.x < std::int64_t{1} << 31;
  with_size(size, [&](auto voxel) {
    using T = decltype(voxel);
    T other;
    std::memcpy(&other, outside, sizeof other);
    each_tile(a, threads, [&](const Tiles& tile) {
      const T* const v = static_cast<const T*>(in);
      Points points;
      alignas(64) std::int32_t at[kPiece];
      tile.each([&](const Piece& p) {
        T* const row = static_cast<T*>(out) + (p.k * a.out[1] + p.j) * a.out[2] + p.i;
        if (small) {
          places_of.nearest(a, p, at, points.inside);
          for (std::int64_t i = 0; i < p.count; ++i) row[i] = v[at[i]];
          for_gaps(points.inside, p.count,
                   [&](std::int64_t from, std::int64_t until) { std::fill(row + from, row + until, other); });
        } else {
          places_of.where(a, p, points);
          for (std::int64_t i = 0; i < p.count; ++i)
            row[i] = points.inside[i] ? fastimg::nearest_at(v, n, point_of(points, i)) : other;
        }
      });
    });
  });
}

template void oblique<float>(const void*, Kind, void*, Kind, const Affine&, int, const Fused<float>&, bool, const void*,
                             int);
template void oblique<double>(const void*, Kind, void*, Kind, const Affine&, int, const Fused<double>&, bool,
                              const void*, int);

}  // namespace fastimg::resampling
