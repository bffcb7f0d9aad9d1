// Turned grids, linear, nearest, by votes and by splines, under sanitizers: volumes in blocks of exactly their size, so
// that the first byte read outside is seen; axes of one voxel, grids half outside, far steps. Every level has the
// baseline's bits.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "cpu/pool.hpp"
#include "resampling/label.hpp"
#include "resampling/oblique.hpp"

namespace cpu = fastimg::cpu;
namespace rs = fastimg::resampling;

namespace {

std::mt19937 random_bits(1);

double between(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_bits); }

std::int64_t one_of(std::initializer_list<std::int64_t> values) {
  return values.begin()[random_bits() % values.size()];
}

rs::Affine any_grid() {
  rs::Affine a{};
  for (auto& n : a.in) n = one_of({1, 2, 3, 7, 20});
  a.in[2] = one_of({1, 2, 3, 17, 40});
  a.out[0] = one_of({1, 2, 5}), a.out[1] = one_of({1, 3, 33}), a.out[2] = one_of({1, 15, 16, 17, 129, 256, 257, 300});
  const double step = one_of({1, 1, 1, 30, 1000000});
  for (int row = 0; row < 3; ++row) {
    const double n = static_cast<double>(a.in[row]);
    for (int column = 0; column < 3; ++column)
      a.m[4 * row + column] = step * between(-1.5, 1.5) * n / static_cast<double>(a.out[column]);
    a.m[4 * row + 3] = between(-0.5, 1.5) * n;
    if (random_bits() % 4 == 0)  // a row of samples on the border itself, or on the volume's end
      for (int column = 0; column < 4; ++column)
        a.m[4 * row + column] = column < 3 ? 0 : (random_bits() % 2 ? 0 : n - 1);
    if (random_bits() % 20 == 0) a.m[4 * row + 3] = random_bits() % 2 ? 1e300 : -1e300;
  }
  a.edge = random_bits() % 2;
  return a;
}

// resample(out) of `made` voxels gives the same at every level.
template <class T, class F>
void same_at_every_level(std::int64_t made, const char* what, F resample) {
  std::unique_ptr<T[]> expected;
  for (int level = 0; level <= static_cast<int>(cpu::supported()); ++level) {
    cpu::set_level(static_cast<cpu::Level>(level));
    std::unique_ptr<T[]> out(new T[made]);
    resample(out.get());
    if (!expected)
      expected = std::move(out);
    else if (std::memcmp(out.get(), expected.get(), made * sizeof(T)) != 0) {
      std::fprintf(stderr, "%s: level %d differs from the baseline, %zu bytes a voxel\n", what, level, sizeof(T));
      std::exit(1);
    }
  }
}

template <class T, class C = float>
void same_bits(rs::Kind kind, const rs::Affine& a, const std::vector<float>& field, bool splines = false) {
  const std::int64_t voxels = a.in[0] * a.in[1] * a.in[2], made = a.out[0] * a.out[1] * a.out[2];
  const std::unique_ptr<T[]> in(new T[voxels]);
  for (std::int64_t i = 0; i < voxels; ++i) in[i] = static_cast<T>(static_cast<std::int32_t>(random_bits() % 65536));
  rs::Affine grid = a;
  if (!field.empty()) grid.field = field.data();
  const T outside = T(3);
  same_at_every_level<T>(made, "linear", [&](T* out) {
    rs::oblique<C>(in.get(), kind, out, kind, grid, 1, rs::Fused<C>{}, false, &outside, 2);
  });
  if constexpr (std::is_same_v<T, C>)
    for (int degree = 2; degree <= 5 && splines; ++degree)
      same_at_every_level<T>(made, "B-spline", [&](T* out) {
        rs::oblique<C>(in.get(), kind, out, kind, grid, degree, rs::Fused<C>{}, false, &outside, 2);
      });
  same_at_every_level<T>(made, "nearest",
                         [&](T* out) { rs::oblique_nearest(in.get(), out, sizeof(T), grid, &outside, 2); });
  for (std::int64_t i = 0; i < voxels; ++i) in[i] = static_cast<T>(i / 5 % 3);  // neighbours that agree
  same_at_every_level<T>(made, "votes",
                         [&](T* out) { rs::oblique_label(in.get(), out, sizeof(T), grid, &outside, 2); });
}

}  // namespace

int main() {
  static const cpu::Api api{cpu::kApiVersion, cpu::run, cpu::level, cpu::threads};
  cpu::imported = &api;
  for (int n = 0; n < 600; ++n) {
    const rs::Affine a = any_grid();
    std::vector<float> field;
    if (n % 5 == 0) {
      field.resize(3 * a.out[0] * a.out[1] * a.out[2]);
      for (auto& d : field) d = static_cast<float>(between(-9, 9));
      field[random_bits() % field.size()] = std::numeric_limits<float>::quiet_NaN();
      field[random_bits() % field.size()] = std::numeric_limits<float>::infinity();
    }
    same_bits<std::int8_t>(rs::Kind::i8, a, field);
    same_bits<std::uint8_t>(rs::Kind::u8, a, field);
    same_bits<std::int16_t>(rs::Kind::i16, a, field);
    same_bits<std::uint16_t>(rs::Kind::u16, a, field);
    same_bits<float>(rs::Kind::f32, a, field, n % 8 < 2);  // splines take five times as long as all others
    if (n % 2)
      same_bits<std::int32_t, double>(rs::Kind::i32, a, field);
    else
      same_bits<double, double>(rs::Kind::f64, a, field, n % 8 < 2);
  }
  std::puts("native tests passed");
}
