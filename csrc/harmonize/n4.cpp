#include "harmonize/n4.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "cpu/aligned.hpp"

namespace fastimg::harmonize {
namespace {

using cpu::aligned;

constexpr std::int64_t kGrain = 1 << 12;

std::size_t chunks(std::int64_t count) { return static_cast<std::size_t>((count + kGrain - 1) / kGrain); }

double mixed(const double* c, const double* w) { return ((w[0] * c[0] + w[1] * c[1]) + w[2] * c[2]) + w[3] * c[3]; }

// The spline of a lattice along x: (control z, control y, width); 0 beyond the image.
cpu::Aligned<double> along_x(const double* lattice, const N4Grid& grid, int threads) {
  const std::int64_t rows = grid.z.controls * grid.y.controls, width = grid.width(), length = grid.x.positions;
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / 2 / width);
  auto out = aligned<double>(static_cast<std::size_t>(rows * width));
  cpu::parallel_for(rows, grain, threads, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t row = from; row < to; ++row) {
      double* const line = out.get() + row * width;
      for (std::int64_t x = 0; x < length; ++x)
        line[x] = mixed(lattice + row * grid.x.controls + grid.x.start[x], grid.x.weight + 4 * x);
      std::fill(line + length, line + width, 0.0);
    }
  });
  return out;
}

// Calls plane(z, rows of (control y, width) at this z), from which a row y is one mix of four.
template <class F>
void each_plane(const double* lattice, const N4Grid& grid, int threads, F plane) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  const auto source = along_x(lattice, grid, threads);
  const std::int64_t size = grid.y.controls * grid.width();
  cpu::parallel_for(grid.z.positions, 1, threads, [&](std::int64_t z, std::int64_t) {
    const auto rows = aligned<double>(static_cast<std::size_t>(size));
    table.mix_f64(source.get() + grid.z.start[z] * size, size, grid.z.weight + 4 * z, rows.get(), size);
    plane(z, rows.get());
  });
}

// At each control point the sum over all voxels of value x weights: along y in each plane, then along z over a few
// planes, then along x; what belongs to a few planes stays with one thread, and what is left of it is small. value(row,
// buffer) gives the values of a row; sums(z, y, x) of control points are the result.
template <class Value>
std::vector<double> gather(const N4Grid& grid, int threads, Value value) {
  constexpr std::int64_t kPlanes = 8;
  const N4Table& table = FASTIMG_PICK(n4_table);
  const std::int64_t width = grid.width(), size = grid.y.controls * width, cells = grid.y.controls * grid.x.controls,
                     positions = grid.z.positions;
  const std::int32_t* const start = grid.z.start;
  const auto controls = [&](std::int64_t from) {  // that planes from there on touch: first, number
    const std::int64_t last = std::min(from + kPlanes, positions) - 1;
    return std::make_pair(std::int64_t{start[from]}, std::int64_t{start[last] + 4 - start[from]});
  };
  std::vector<std::int64_t> place(1, 0);
  for (std::int64_t from = 0; from < positions; from += kPlanes) place.push_back(place.back() + controls(from).second);
  std::vector<double> parts(static_cast<std::size_t>(place.back() * cells));
  cpu::parallel_for(positions, kPlanes, threads, [&](std::int64_t from, std::int64_t to) {
    const auto [first, count] = controls(from);
    std::vector<double> room(static_cast<std::size_t>((to - from + 1) * size + kPlanes));
    double *const planes = room.data(), *const sum = planes + (to - from) * size, *const weight = sum + size;
    const auto buffer = aligned<float>(static_cast<std::size_t>(width));
    for (std::int64_t z = from; z < to; ++z)
      for (std::int64_t y = 0; y < grid.y.positions; ++y) {
        const std::int64_t row = z * grid.y.positions + y, values = grid.offset[row + 1] - grid.offset[row];
        if (values)
          table.spread(value(row, buffer.get()), grid.y.weight + 4 * y,
                       planes + (z - from) * size + grid.y.start[y] * width + grid.begin[row], width, values);
      }
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t cz = first + i;
      const std::int64_t low = std::lower_bound(start + from, start + to, cz - 3) - start,
                         high = std::upper_bound(start + from, start + to, cz) - start;
      for (std::int64_t z = low; z < high; ++z) weight[z - low] = grid.z.weight[4 * z + cz - start[z]];
      table.sum(planes + (low - from) * size, size, weight, high - low, sum, size);
      table.cells(sum, width, grid.y.controls, grid.x,
                  parts.data() + (place[static_cast<std::size_t>(from / kPlanes)] + i) * cells);
    }
  });
  std::vector<double> sums(static_cast<std::size_t>(grid.z.controls * cells), 0.0);
  for (std::int64_t from = 0; from < positions; from += kPlanes) {
    const auto [first, count] = controls(from);
    const double* const part = parts.data() + place[static_cast<std::size_t>(from / kPlanes)] * cells;
    for (std::int64_t i = 0; i < count * cells; ++i) sums[static_cast<std::size_t>(first * cells + i)] += part[i];
  }
  return sums;
}

// counts[bins]: each voxel shares one among its two neighbouring bins (triangular Parzen window).
void histogram(const float* log, std::int64_t count, const N4Bins& bins, double* counts, int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  const auto size = static_cast<std::size_t>(bins.bins);
  std::vector<double> parts(chunks(count) * size);
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> tables(2 * kN4Tables * (size + 1), 0.0);
    table.histogram(log + begin, end - begin, bins, tables.data(),
                    parts.data() + static_cast<std::size_t>(begin / kGrain) * size);
  });
  std::fill(counts, counts + size, 0.0);
  for (std::size_t part = 0; part < chunks(count); ++part)
    for (std::size_t i = 0; i < size; ++i) counts[i] += parts[part * size + i];
}

// out[i] = scale e^(-k i^2), i up to `last`; 0 beyond e^-690: no denormals. By i = 16 m + j, since an exponential of
// each would take as long as two transforms: e^(-256 k m^2) e^(-32 k m j) e^(-k j^2).
void gaussian(double k, double scale, int last, double* out) {
  double power[16], step[16];
  for (int j = 0; j < 16; ++j) power[j] = scale * std::exp(-k * (j * j)), step[j] = std::exp(-32.0 * k * j);
  for (int begin = 0; begin <= last; begin += 16) {
    const double first = std::exp(-k * (static_cast<double>(begin) * begin));
    for (int j = 0; j < 16 && begin + j <= last; ++j) {
      const double at = begin + j;
      out[begin + j] = k * (at * at) > 690.0 ? 0.0 : first * power[j];
      power[j] *= step[j];
    }
  }
}

// expected[bins]: E(u | v), the sharpened log intensity of each bin, by Wiener deconvolution of the counts with a
// Gaussian (Sled et al., IEEE TMI 17:87, 1998).
void sharpen(const double* counts, const N4Bins& bins, const N4Level& level, float* expected) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  const int size = level.size, first = (size - bins.bins) / 2, half = size / 2;
  const double share = 1.0 / size, slope = bins.slope, width = level.fwhm / slope, ln2 = 0.69314718055994530942,
               pi = 3.14159265358979323846;
  const auto all = aligned<double>(static_cast<std::size_t>(5 * size));
  double *const re = all.get(), *const im = re + size, *const u = im + size, *const v = u + size,
                *const blur = v + size;
  std::vector<std::int32_t> order(static_cast<std::size_t>(size), 0);
  for (std::size_t i = 1; i < order.size(); ++i) order[i] = order[i / 2] / 2 + (i % 2 ? half : 0);
  const auto transform = [&](double sign, const double* from_re, const double* from_im, double* to_re, double* to_im) {
    table.transform(from_re, from_im, order.data(), size, level.turns, sign, to_re, to_im);
  };
  std::fill(re, re + size, 0.0);
  std::copy(counts, counts + bins.bins, re + first);
  gaussian(4.0 * ln2 / (width * width), 2.0 * std::sqrt(ln2 / pi) / width, half, im);
  for (int i = 1; i < half; ++i) im[size - i] = im[i];
  transform(-1.0, re, im, u, v);  // two real signals in one complex one; the Gaussian's transform is real: it is even
  for (int i = 0; i <= half; ++i) {
    const int j = (size - i) % size;
    const double real = (u[i] + u[j]) / 2, odd = (v[i] - v[j]) / 2, gauss = (v[i] + v[j]) / 2;
    const double wiener = gauss / (gauss * gauss + level.noise);
    blur[i] = blur[j] = gauss;
    u[i] = u[j] = real * wiener;
    v[i] = odd * wiener;
    v[j] = -v[i];
  }
  transform(1.0, u, v, re, im);
  for (int i = 0; i < size; ++i) {
    const double sharp = re[i] > 0.0 ? re[i] * share : 0.0;
    re[i] = (bins.low + (i - first) * slope) * sharp;
    im[i] = sharp;
  }
  transform(-1.0, re, im, u, v);
  for (int i = 0; i < size; ++i) {
    u[i] *= blur[i];
    v[i] *= blur[i];
  }
  transform(1.0, u, v, re, im);
  for (int i = 0; i < bins.bins; ++i)
    expected[i] = im[first + i] != 0.0 ? static_cast<float>(re[first + i] / im[first + i]) : 0.0f;
}

// lattice += sums of confidence x (log - expected(log)) x weights, over the share; nothing where the share is 0.
void fit(const float* log, const N4Bins& bins, const N4Level& level, const float* expected, double* lattice,
         int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  const N4Grid& grid = level.fit;
  const float* const confidence = level.confidence;
  const double* const share = level.share;
  std::vector<float> step(static_cast<std::size_t>(bins.bins), 0.0f);  // beyond the last bin nothing changes
  for (std::size_t i = 1; i < step.size(); ++i) step[i - 1] = expected[i] - expected[i - 1];
  const std::vector<double> sums = gather(grid, threads, [&](std::int64_t row, float* buffer) {
    const std::int64_t at = grid.offset[row], count = grid.offset[row + 1] - at;
    table.residual(log + at, count, bins, expected, step.data(), buffer);
    if (confidence)
      for (std::int64_t i = 0; i < count; ++i) buffer[i] *= confidence[at + i];
    return static_cast<const float*>(buffer);
  });
  for (std::size_t i = 0; i < sums.size(); ++i)
    if (share[i] > 0.0) lattice[i] += sums[i] / share[i];
}

}  // namespace

N4Ends n4_evaluate(const double* lattice, const N4Grid& grid, const float* log, float* field, float* out, int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> lows(static_cast<std::size_t>(grid.z.positions)), highs(lows.size());
  each_plane(lattice, grid, threads, [&](std::int64_t z, const double* rows) {
    float ends[2 * kN4Block];
    std::fill(ends, ends + kN4Block, kInf);
    std::fill(ends + kN4Block, ends + 2 * kN4Block, -kInf);
    for (std::int64_t y = 0; y < grid.y.positions; ++y) {
      const std::int64_t row = z * grid.y.positions + y, at = grid.offset[row], count = grid.offset[row + 1] - at;
      if (!count) continue;
      table.mix_f32(rows + grid.y.start[y] * grid.width() + grid.begin[row], grid.width(), grid.y.weight + 4 * y,
                    field + at, count);
      table.subtract(log + at, field + at, out + at, count, ends);
    }
    lows[static_cast<std::size_t>(z)] = *std::min_element(ends, ends + kN4Block);
    highs[static_cast<std::size_t>(z)] = *std::max_element(ends + kN4Block, ends + 2 * kN4Block);
  });
  return {*std::min_element(lows.begin(), lows.end()), *std::max_element(highs.begin(), highs.end())};
}

void n4_share(const float* confidence, const N4Grid& grid, double* share, int threads) {
  const std::vector<double> sums =
      gather(grid, threads, [&](std::int64_t row, float*) { return confidence + grid.offset[row]; });
  std::copy(sums.begin(), sums.end(), share);
}

N4Ends n4_iterate(const N4Level& level, N4Ends ends, double* lattice, float* field, float* rest, int threads) {
  const N4Grid& grid = level.field;
  const N4Bins bins{ends.low, (ends.high - ends.low) / static_cast<float>(level.bins - 1), level.bins};
  if (bins.slope > 0.0f) {  // else the field explains everything
    std::vector<double> counts(static_cast<std::size_t>(bins.bins));
    std::vector<float> expected(counts.size());
    histogram(rest, grid.offset[grid.z.positions * grid.y.positions], bins, counts.data(), threads);
    sharpen(counts.data(), bins, level, expected.data());
    fit(rest, bins, level, expected.data(), lattice, threads);
  }
  return n4_evaluate(lattice, grid, level.log, field, rest, threads);
}

void n4_ratio(const float* before, const float* after, const std::uint8_t* mask, float* out, std::int64_t count,
              int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    table.ratio(before + begin, after + begin, mask + begin, out + begin, end - begin);
  });
}

float n4_change(const float* ratio, std::int64_t count) {
  float mu = 0.0f, sigma = 0.0f, n = 0.0f;
  for (std::int64_t i = 0; i < count; ++i) {
    if (std::isnan(ratio[i])) continue;
    n += 1.0f;
    const double number = n;
    const float apart = ratio[i] - mu;
    const double square = static_cast<double>(apart * apart) * (number - 1.0) / number;  // 0 for the first
    sigma = static_cast<float>(static_cast<double>(sigma) + square);
    mu = static_cast<float>(static_cast<double>(mu) * (1.0 - 1.0 / number) + static_cast<double>(ratio[i] / n));
  }
  return static_cast<float>(std::sqrt(static_cast<double>(sigma) / (static_cast<double>(n) - 1.0))) / mu;
}

N4Ends n4_iterate_beside(const N4Level& level, N4Ends ends, double* lattice, float* field, float* rest,
                         const float* ratio, float* change) {
  const std::int64_t count = level.field.offset[level.field.z.positions * level.field.y.positions];
  N4Ends next{};
  cpu::parallel_for(2, 1, 2, [&](std::int64_t part, std::int64_t) {
    if (part)
      *change = n4_change(ratio, count);
    else
      next = n4_iterate(level, ends, lattice, field, rest, 1);
  });
  return next;
}

void n4_finish(const double* lattice, const N4Grid& grid, const float* image, float* corrected, float* field,
               int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  const std::int64_t width = grid.width(), length = grid.x.positions;
  each_plane(lattice, grid, threads, [&](std::int64_t z, const double* rows) {
    const auto spline = aligned<float>(static_cast<std::size_t>(width));
    for (std::int64_t y = 0; y < grid.y.positions; ++y) {
      const std::int64_t at = (z * grid.y.positions + y) * length;
      table.mix_f32(rows + grid.y.start[y] * width, width, grid.y.weight + 4 * y, spline.get(), width);
      table.correct(image + at, spline.get(), corrected + at, field + at, length);
    }
  });
}

}  // namespace fastimg::harmonize
