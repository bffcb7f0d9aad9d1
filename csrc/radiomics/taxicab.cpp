#include <algorithm>

#include "radiomics/zones.hpp"

namespace fastimg::radiomics {

void taxicab(const std::uint8_t* mask, std::int64_t nz, std::int64_t ny, std::int64_t nx, bool flat, std::uint16_t* out,
             int threads) {
  // Signed 16 bits: every processor has their minimum.
  constexpr std::int16_t kMost = 32766;
  auto* const distance = reinterpret_cast<std::int16_t*>(out);
  // Along each axis, forth and back: the city-block distance is exact in one pass of each.
  const auto line = [](std::int16_t* at, std::int64_t count, std::int64_t step) {
    int near = 0;
    for (std::int64_t i = 0; i < count; ++i)
      near = at[i * step] = static_cast<std::int16_t>(std::min<int>(at[i * step], near + 1));
    near = 0;
    for (std::int64_t i = count - 1; i >= 0; --i)
      near = at[i * step] = static_cast<std::int16_t>(std::min<int>(at[i * step], near + 1));
  };
  // Rows against rows: the same step for a whole row at once.
  const auto closer = [nx](std::int16_t* __restrict at, const std::int16_t* __restrict other) {
    for (std::int64_t x = 0; x < nx; ++x) {
      const auto step = static_cast<std::int16_t>((other ? other[x] : 0) + 1);
      at[x] = at[x] < step ? at[x] : step;
    }
  };
  cpu::parallel_for(nz, 4, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t z = begin; z < end; ++z) {
      std::int16_t* slice = distance + z * ny * nx;
      for (std::int64_t i = 0; i < ny * nx; ++i) slice[i] = mask[z * ny * nx + i] ? kMost : 0;
      for (std::int64_t y = 0; y < ny; ++y) line(slice + y * nx, nx, 1);
      for (std::int64_t y = 0; y < ny; ++y) closer(slice + y * nx, y ? slice + (y - 1) * nx : nullptr);
      for (std::int64_t y = ny - 1; y >= 0; --y) closer(slice + y * nx, y + 1 < ny ? slice + (y + 1) * nx : nullptr);
    }
  });
  if (flat) return;
  cpu::parallel_for(ny, 8, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t z = 0; z < nz; ++z)
      for (std::int64_t y = begin; y < end; ++y)
        closer(distance + (z * ny + y) * nx, z ? distance + ((z - 1) * ny + y) * nx : nullptr);
    for (std::int64_t z = nz - 1; z >= 0; --z)
      for (std::int64_t y = begin; y < end; ++y)
        closer(distance + (z * ny + y) * nx, z + 1 < nz ? distance + ((z + 1) * ny + y) * nx : nullptr);
  });
}

}  // namespace fastimg::radiomics
