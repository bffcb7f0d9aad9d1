#include "filtering/stationary.hpp"

#include <algorithm>
#include <vector>

#include "cpu/aligned.hpp"
#include "filtering/fir.hpp"

namespace fastimg::filtering {
namespace {

const FirTable<float>& table_of(const float*) { return FASTIMG_PICK(float_fir); }
const FirTable<double>& table_of(const double*) { return FASTIMG_PICK(double_fir); }

constexpr std::int64_t kRows = 16;    // of a tile along y
constexpr std::int64_t kPlanes = 32;  // of a tile along z

std::int64_t wrapped(std::int64_t i, std::int64_t n) {
  const std::int64_t r = i % n;
  return r < 0 ? r + n : r;
}

// How many of an output's terms lie past the end of n samples.
std::int64_t past(std::int64_t o, std::int64_t shift, std::int64_t n, int taps) {
  return std::max<std::int64_t>(0, std::min<std::int64_t>(o + shift - n + 1, taps));
}

// Term that comes at place t for an output of which `over` terms lie past the end.
int term(int t, std::int64_t over) { return t < over ? static_cast<int>(over) - 1 - t : t; }

// Sums for all kernels of a bank; row(j) is the row of term j, out(c) where kernel c's sum goes.
template <class C, class Row, class Out>
void sums(const FirTable<C>& table, const Bank<C>& bank, std::int64_t over, std::vector<const C*>& terms,
          std::vector<C>& weights, const Row& row, const Out& out, std::int64_t n) {
  for (int t = 0; t < bank.taps; ++t) terms[t] = row(term(t, over));
  for (int c = 0; c < bank.count; ++c) {
    for (int t = 0; t < bank.taps; ++t) weights[t] = bank.weights[c * bank.taps + term(t, over)];
    table.sum(terms.data(), weights.data(), bank.taps, out(c), n);
  }
}

}  // namespace

// A tile of kRows rows walks along z; planes already filtered along x and y wait in a ring for the taps along z, so
// that every voxel is read once and intermediate results stay in the second-level cache.
template <class C>
void stationary(const C* in, C* out, const std::int64_t* sizes, const Bank<C>& bx, const Bank<C>& by, const Bank<C>& bz,
                int threads) {
  const FirTable<C>& table = table_of(static_cast<const C*>(nullptr));
  const std::int64_t depth = sizes[0], height = sizes[1], width = sizes[2], volume = depth * height * width;
  const std::int64_t tiles_y = (height + kRows - 1) / kRows, tiles_z = (depth + kPlanes - 1) / kPlanes;
  const int bands = bx.count * by.count;  // of x and y
  cpu::parallel_for(tiles_y * tiles_z, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t rows_in = kRows + by.taps - 1, cell = kRows * width;
    const auto wide = cpu::aligned<C>(width + bx.taps), flat = cpu::aligned<C>(bx.count * rows_in * width);
    const auto ring = cpu::aligned<C>(bz.taps * bands * cell);
    std::vector<const C*> terms(bx.taps + by.taps + bz.taps);
    std::vector<C> weights(bx.taps + by.taps + bz.taps);
    for (std::int64_t tile = begin; tile < end; ++tile) {
      const std::int64_t y0 = tile % tiles_y * kRows, z0 = tile / tiles_y * kPlanes;
      const std::int64_t rows = height - y0 < kRows ? height - y0 : kRows;
      const std::int64_t planes = depth - z0 < kPlanes ? depth - z0 : kPlanes;
      // Plane p of the ring is the filtered slice z0 + shift - (taps - 1) + p.
      for (std::int64_t p = 0; p < planes + bz.taps - 1; ++p) {
        const C* slice = in + wrapped(z0 + bz.shift - (bz.taps - 1) + p, depth) * height * width;
        for (std::int64_t r = 0; r < rows + by.taps - 1; ++r) {
          const C* row = slice + wrapped(y0 + by.shift - (by.taps - 1) + r, height) * width;
          // wide[t] = in[t + shift - (taps - 1)], so that term j of output o is wide[o + taps - 1 - j]
          const std::int64_t before = bx.taps - 1 - bx.shift, all = width + bx.taps - 1;
          for (std::int64_t t = 0; t < all; ++t) {
            const std::int64_t at = t - before;
            wide[t] = row[at < 0 || at >= width ? wrapped(at, width) : at];
          }
          const auto target = [&](int c) { return flat.get() + (c * rows_in + r) * width; };
          sums(table, bx, 0, terms, weights, [&](int j) { return wide.get() + bx.taps - 1 - j; }, target, width);
          for (std::int64_t o = std::max<std::int64_t>(0, width - bx.shift + 1); o < width; ++o)
            sums(
                table, bx, past(o, bx.shift, width, bx.taps), terms, weights,
                [&](int j) { return wide.get() + o + bx.taps - 1 - j; }, [&](int c) { return target(c) + o; }, 1);
        }
        C* made = ring.get() + p % bz.taps * bands * cell;
        for (int b = 0; b < bx.count; ++b)
          for (std::int64_t r = 0; r < rows; ++r)
            sums(
                table, by, past(y0 + r, by.shift, height, by.taps), terms, weights,
                [&](int j) { return flat.get() + (b * rows_in + r + by.taps - 1 - j) * width; },
                [&](int c) { return made + (b * by.count + c) * cell + r * width; }, width);
        const std::int64_t k = p - (bz.taps - 1);
        if (k < 0) continue;
        for (int b = 0; b < bands; ++b)
          sums(
              table, bz, past(z0 + k, bz.shift, depth, bz.taps), terms, weights,
              [&](int j) { return ring.get() + ((p - j) % bz.taps * bands + b) * cell; },
              [&](int c) { return out + (b * bz.count + c) * volume + ((z0 + k) * height + y0) * width; },
              rows * width);
      }
    }
  });
}

template void stationary<float>(const float*, float*, const std::int64_t*, const Bank<float>&, const Bank<float>&,
                                const Bank<float>&, int);
template void stationary<double>(const double*, double*, const std::int64_t*, const Bank<double>&, const Bank<double>&,
                                 const Bank<double>&, int);

}  // namespace fastimg::filtering
