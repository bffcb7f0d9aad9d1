#include "radiomics/local.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::radiomics {

void local_peaks(const double* image, const std::uint8_t* inside, std::int64_t nz, std::int64_t ny, std::int64_t nx,
                 const double* spacing, double radius, double* local, double* global, int threads) {
  // A sphere is a set of stretches along x; with running sums of each row a stretch costs two reads.
  struct Stretch {
    std::int64_t z, y, half;
  };
  std::vector<Stretch> sphere;
  const auto reach = [&](int axis) { return static_cast<std::int64_t>(std::floor(radius / spacing[axis])); };
  for (std::int64_t z = -reach(0); z <= reach(0); ++z)
    for (std::int64_t y = -reach(1); y <= reach(1); ++y) {
      std::int64_t half = reach(2) + 1;
      const double dz = static_cast<double>(z) * spacing[0], dy = static_cast<double>(y) * spacing[1];
      while (half >= 0) {
        const double dx = static_cast<double>(half) * spacing[2];
        if (dz * dz + dy * dy + dx * dx <= radius * radius) break;
        --half;
      }
      if (half >= 0) sphere.push_back({z, y, half});
    }
  std::vector<double> sums(nz * ny * (nx + 1));
  std::vector<std::int32_t> counts(nz * ny * (nx + 1));
  cpu::parallel_for(nz * ny, 256, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      double sum = 0;
      std::int32_t count = 0;
      for (std::int64_t x = 0; x < nx; ++x) {
        const double v = image[row * nx + x];
        if (v == v) {
          sum += v;
          ++count;
        }
        sums[row * (nx + 1) + x + 1] = sum;
        counts[row * (nx + 1) + x + 1] = count;
      }
    }
  });
  double brightest = -INFINITY;
  for (std::int64_t i = 0; i < nz * ny * nx; ++i)
    if (inside[i]) brightest = std::max(brightest, image[i]);

  struct Best {
    double local = -INFINITY, global = -INFINITY;
  };
  std::vector<Best> parts(nz);
  cpu::parallel_for(nz, 1, threads, [&](std::int64_t z, std::int64_t) {
    Best& best = parts[z];
    std::vector<double> sum(nx);
    std::vector<std::int32_t> count(nx);
    for (std::int64_t y = 0; y < ny; ++y) {
      const std::uint8_t* in = inside + (z * ny + y) * nx;
      const double* values = image + (z * ny + y) * nx;
      std::int64_t first = 0, last = nx;
      while (first < last && !in[first]) ++first;
      while (last > first && !in[last - 1]) --last;
      if (first == last) continue;
      std::fill(sum.begin(), sum.end(), 0.0);
      std::fill(count.begin(), count.end(), 0);
      for (const Stretch& s : sphere) {
        const std::int64_t row = ((z + s.z) * ny + y + s.y) * (nx + 1);
        const double *a = sums.data() + row - s.half, *b = sums.data() + row + s.half + 1;
        const std::int32_t *from = counts.data() + row - s.half, *to = counts.data() + row + s.half + 1;
        double* __restrict total = sum.data();
        std::int32_t* __restrict n = count.data();
        for (std::int64_t x = first; x < last; ++x) total[x] += b[x] - a[x];
        for (std::int64_t x = first; x < last; ++x) n[x] += to[x] - from[x];
      }
      for (std::int64_t x = first; x < last; ++x) {
        if (!in[x]) continue;
        const double mean = sum[x] / static_cast<double>(count[x]);
        best.global = std::max(best.global, mean);
        if (values[x] == brightest) best.local = std::max(best.local, mean);
      }
    }
  });
  Best all;
  for (const Best& part : parts) {
    all.local = std::max(all.local, part.local);
    all.global = std::max(all.global, part.global);
  }
  *local = all.local;
  *global = all.global;
}

}  // namespace fastimg::radiomics
