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
      for (std::int64_t i = 0; i < p.count;) {  // runs of outside voxels
        const auto* const gap = static_cast<unsigned char*>(std::memchr(inside.data() + i, 0, p.count - i));
        if (!gap) break;
        const std::int64_t start = gap - inside.data();
        std::int64_t stop = start;
        while (stop < p.count && !inside[stop]) ++stop;
        fill_with(target + start * size, outside, size, stop - start);
        i = stop;
      }
      if (past) cpu::copy_past(stored, place, p.count * size);
    });
    if (past) cpu::end_past();
  });
}

void oblique_nearest(const void* in, void* out, std::int64_t size, const Affine& a, const void* outside, int threads) {
  const auto find = FASTIMG_PICK(double_oblique).where;
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  with_size(size, [&](auto voxel) {
    using T = decltype(voxel);
    T other;
    std::memcpy(&other, outside, sizeof other);
    each_tile(a, threads, [&](const Tiles& tile) {
      std::vector<fastimg::Point> points(kPiece);
      tile.each([&](const Piece& p) {
        find(a, p, points.data());
        T* const row = static_cast<T*>(out) + (p.k * a.out[1] + p.j) * a.out[2] + p.i;
        for (std::int64_t i = 0; i < p.count; ++i)
          row[i] = points[i].inside ? fastimg::nearest_at(static_cast<const T*>(in), n, points[i]) : other;
      });
    });
  });
}

template void oblique<float>(const void*, Kind, void*, Kind, const Affine&, int, const Fused<float>&, bool, const void*,
                             int);
template void oblique<double>(const void*, Kind, void*, Kind, const Affine&, int, const Fused<double>&, bool,
                              const void*, int);

}  // namespace fastimg::resampling
