// A turned grid in pieces of rows: neighbours in y and z share samples, which stay in L2.
#pragma once

#include <algorithm>
#include <cstdint>

#include "resampling/oblique.hpp"

namespace fastimg::resampling {

struct Tiles {
  static constexpr std::int64_t high = 32, deep = 16;
  std::int64_t k0, k1, j0, j1, width;
  template <class F>
  void each(F f) const {
    for (std::int64_t i = 0; i < width; i += kPiece)
      for (std::int64_t j = j0; j < j1; ++j)
        for (std::int64_t k = k0; k < k1; ++k) f(Piece{k, j, i, std::min(kPiece, width - i)});
  }
};

template <class F>
void each_tile(const Affine& a, int threads, F f) {
  const std::int64_t across = (a.out[1] + Tiles::high - 1) / Tiles::high;
  const std::int64_t down = (a.out[0] + Tiles::deep - 1) / Tiles::deep;
  cpu::parallel_for(across * down, 1, threads, [&](std::int64_t n, std::int64_t) {
    const std::int64_t k = n / across * Tiles::deep, j = n % across * Tiles::high;
    f(Tiles{k, std::min(k + Tiles::deep, a.out[0]), j, std::min(j + Tiles::high, a.out[1]), a.out[2]});
  });
}

}  // namespace fastimg::resampling
