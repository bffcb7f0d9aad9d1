#include "resampling/oblique.hpp"

#include <algorithm>
#include <cstring>

#include "cpu/aligned.hpp"
#include "resampling/fill.hpp"

namespace fastimg::resampling {
namespace {

// Rows a piece of work: neighbours in y and z share samples, which stay in L2.
constexpr std::int64_t kHigh = 16, kDeep = 8;

struct Tile {
  std::int64_t k0, k1, j0, j1;
  template <class F>
  void each(F f) const {
    for (std::int64_t j = j0; j < j1; ++j)
      for (std::int64_t k = k0; k < k1; ++k) f(k, j);
  }
};

template <class F>
void each_tile(const Affine& a, int threads, F f) {
  const std::int64_t across = (a.out[1] + kHigh - 1) / kHigh, down = (a.out[0] + kDeep - 1) / kDeep;
  cpu::parallel_for(across * down, 1, threads, [&](std::int64_t n, std::int64_t) {
    const std::int64_t k = n / across * kDeep, j = n % across * kHigh;
    f(Tile{k, std::min(k + kDeep, a.out[0]), j, std::min(j + kHigh, a.out[1])});
  });
}

const RowTable<float>& rows_of(const float*) { return FASTIMG_PICK(float_rows); }
const RowTable<double>& rows_of(const double*) { return FASTIMG_PICK(double_rows); }
const ObliqueTable<float>& table_of(const float*) { return FASTIMG_PICK(float_oblique); }
const ObliqueTable<double>& table_of(const double*) { return FASTIMG_PICK(double_oblique); }

template <class T>
void move(const char* in, char* out, const std::int64_t* place, std::int64_t count, const void* outside) {
  T value;
  std::memcpy(&value, outside, sizeof value);
  const T* const from = reinterpret_cast<const T*>(in);
  T* const to = reinterpret_cast<T*>(out);
  for (std::int64_t i = 0; i < count; ++i) to[i] = place[i] < 0 ? value : from[place[i]];
}

}  // namespace

template <class C>
void oblique(const void* in, Kind from, void* out, Kind to, const Affine& a, int degree,
             const Fused<C>& fused, bool truncate, const void* outside, int threads) {
  const auto& table = table_of(static_cast<const C*>(nullptr));
  const RowTable<C>& rows = rows_of(static_cast<const C*>(nullptr));
  const auto store = rows.store[truncate][static_cast<int>(to)];
  const std::int64_t size = kSizes[static_cast<int>(to)], width = a.out[2];
  each_tile(a, threads, [&](const Tile& tile) {
    const auto row = cpu::aligned<C>(width + kSlack);
    std::fill_n(row.get(), width + kSlack, C(0));
    std::vector<unsigned char> inside(width + kSlack);
    tile.each([&](std::int64_t k, std::int64_t j) {
      if (degree == 1)
        table.linear[static_cast<int>(from)](in, a, fused, k, j, row.get(), inside.data());
      else
        table.spline[degree](static_cast<const C*>(in), a, k, j, row.get(), inside.data());
      if (fused.finish.on) rows.finish(row.get(), fused.finish, width);
      char* const target = static_cast<char*>(out) + (k * a.out[1] + j) * width * size;
      store(row.get(), target, width);
      for (std::int64_t i = 0; i < width;) {  // runs of outside voxels
        const auto* const gap = static_cast<unsigned char*>(std::memchr(inside.data() + i, 0, width - i));
        if (!gap) break;
        const std::int64_t start = gap - inside.data();
        std::int64_t stop = start;
        while (stop < width && !inside[stop]) ++stop;
        fill_with(target + start * size, outside, size, stop - start);
        i = stop;
      }
    });
  });
}

void oblique_nearest(const void* in, void* out, std::int64_t size, const Affine& a, const void* outside, int threads) {
  const auto find = FASTIMG_PICK(double_oblique).nearest;
  const std::int64_t width = a.out[2];
  const auto copy = size == 1   ? move<std::uint8_t>
                    : size == 2 ? move<std::uint16_t>
                    : size == 4 ? move<std::uint32_t>
                                : move<std::uint64_t>;
  each_tile(a, threads, [&](const Tile& tile) {
    std::vector<std::int64_t> place(width);
    tile.each([&](std::int64_t k, std::int64_t j) {
      find(a, k, j, place.data());
      char* const target = static_cast<char*>(out) + (k * a.out[1] + j) * width * size;
      copy(static_cast<const char*>(in), target, place.data(), width, outside);
    });
  });
}

template void oblique<float>(const void*, Kind, void*, Kind, const Affine&, int, const Fused<float>&, bool, const void*, int);
template void oblique<double>(const void*, Kind, void*, Kind, const Affine&, int, const Fused<double>&, bool, const void*, int);

}  // namespace fastimg::resampling
