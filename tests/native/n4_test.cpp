// The loops of N4 under sanitizers: arrays of exactly their size, rows of any length that count anywhere or nowhere.
// Every level and any number of threads has the baseline's bits.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "cpu/pool.hpp"
#include "harmonize/n4.hpp"

namespace cpu = fastimg::cpu;
namespace hz = fastimg::harmonize;

namespace {

std::mt19937 random_bits(1);

template <class T>
std::vector<T> some(std::size_t count, double low, double high) {
  std::uniform_real_distribution<double> any(low, high);
  std::vector<T> values(count);
  for (auto& value : values) value = static_cast<T>(any(random_bits));
  return values;
}

struct Axis {
  std::vector<std::int32_t> start;
  std::vector<double> weight;
  hz::N4Axis view;
  Axis(int positions, int controls) : weight(some<double>(static_cast<std::size_t>(4 * positions), 0, 1)) {
    for (int i = 0; i < positions; ++i) start.push_back(i * (controls - 3) / positions);
    view = {start.data(), weight.data(), positions, controls};
  }
};

std::vector<float> all_of_it(int nz, int ny, int nx, int controls) {
  random_bits.seed(static_cast<unsigned>(nx));
  const Axis z(nz, controls), y(ny, controls), x(nx, controls);
  std::vector<std::int32_t> begin;
  std::vector<std::int64_t> offset{0};
  const int blocks = (nx + hz::kN4Block - 1) / hz::kN4Block;
  for (int row = 0; row < nz * ny; ++row) {
    const int first = static_cast<int>(random_bits() % static_cast<unsigned>(blocks));
    begin.push_back(hz::kN4Block * first);
    offset.push_back(offset.back() + hz::kN4Block * (random_bits() % static_cast<unsigned>(blocks - first + 1)));
  }
  const hz::N4Grid grid{z.view, y.view, x.view, begin.data(), offset.data()};
  const auto packed = static_cast<std::size_t>(offset.back());
  auto log = some<float>(packed, 0, 5), confidence = some<float>(packed, 0, 1);
  std::vector<std::uint8_t> mask(packed);
  for (std::size_t i = 0; i < packed; ++i) {
    mask[i] = random_bits() % 3 != 0;
    if (!mask[i]) log[i] = std::numeric_limits<float>::quiet_NaN();
  }
  const int bins = controls == 4 ? 200 : 20, size = controls == 4 ? 512 : 64, threads = 3;
  auto lattice = some<double>(static_cast<std::size_t>(controls * controls * controls), -0.1, 0.1), share = lattice;
  std::vector<float> field(packed), next(packed), rest(packed), ratio(packed);
  std::vector<double> turns;
  for (int half = 1; half < size; half *= 2) {
    for (int k = 0; k < half; ++k) turns.push_back(std::cos(3.14159265358979323846 * k / half));
    for (int k = 0; k < half; ++k) turns.push_back(std::sin(3.14159265358979323846 * k / half));
  }
  hz::n4_share(confidence.data(), grid, share.data(), threads);
  const hz::N4Level level{log.data(), confidence.data(), grid, grid, share.data(), turns.data(), bins, size, 0.15,
                          0.01};
  float change = 0;
  auto ends = hz::n4_evaluate(lattice.data(), grid, log.data(), field.data(), rest.data(), threads);
  ends = hz::n4_iterate(level, ends, lattice.data(), next.data(), rest.data(), threads);
  hz::n4_ratio(field.data(), next.data(), mask.data(), ratio.data(), offset.back(), threads);
  ends = hz::n4_iterate_beside(level, ends, lattice.data(), field.data(), rest.data(), ratio.data(), &change);
  const auto voxels = static_cast<std::size_t>(nz * ny * nx);
  const auto image = some<float>(voxels, 1, 100);
  std::vector<float> corrected(voxels), whole(voxels);
  hz::n4_finish(lattice.data(), grid, image.data(), corrected.data(), whole.data(), threads);
  corrected.insert(corrected.end(), whole.begin(), whole.end());
  for (float value : {change, ends.low, ends.high}) corrected.push_back(value);
  return corrected;
}

}  // namespace

int main() {
  static const cpu::Api api{cpu::kApiVersion, cpu::run, cpu::level, cpu::threads};
  cpu::imported = &api;
  for (int nx : {2, 15, 16, 17, 70})
    for (int controls : {4, 7}) {
      std::vector<float> first;
      for (int level = 0; level <= static_cast<int>(cpu::supported()); ++level) {
        cpu::set_level(static_cast<cpu::Level>(level));
        const auto seen = all_of_it(9, 7, nx, controls);
        if (!level) first = seen;
        for (std::size_t i = 0; i < seen.size(); ++i)
          if (!(seen[i] == first[i])) {
            std::fprintf(stderr, "level %d, row of %d: %zu\n", level, nx, i);
            return 1;
          }
      }
    }
  std::puts("native tests passed");
}
