#include "radiomics/region.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::radiomics {

template <class T>
Found find_region(const T* data, std::int64_t nz, std::int64_t ny, std::int64_t nx, bool any, std::int64_t label,
                  int threads) {
  Found found{0, nz, 0, ny, 0, nx, 0, label, false};
  if (!any && static_cast<std::int64_t>(static_cast<T>(label)) != label) return found;
  T wanted = static_cast<T>(label);
  if (any) {  // the first label that is not 0; blocks of zeros are passed over at once
    const std::int64_t all = nz * ny * nx;
    std::int64_t i = 0;
    constexpr std::int64_t kBlock = 512;
    for (; i + kBlock <= all; i += kBlock) {
      T seen = 0;
      for (std::int64_t k = 0; k < kBlock; ++k) seen = static_cast<T>(seen | data[i + k]);
      if (seen) break;
    }
    while (i < all && data[i] == 0) ++i;
    if (i == all) return found;
    wanted = data[i];
    found.label = static_cast<std::int64_t>(wanted);
  }
  std::mutex adding;
  cpu::parallel_for(nz, (nz + 15) / 16, threads, [&](std::int64_t begin, std::int64_t end) {
    Found own{0, nz, 0, ny, 0, nx, 0, 0, false};
    for (std::int64_t z = begin; z < end; ++z)
      for (std::int64_t y = 0; y < ny; ++y) {
        const T* row = data + (z * ny + y) * nx;
        std::uint8_t equal = 0, other = 0;
        for (std::int64_t x = 0; x < nx; ++x) {
          equal = static_cast<std::uint8_t>(equal | (row[x] == wanted));
          other = static_cast<std::uint8_t>(other | ((row[x] != wanted) & (row[x] != 0)));
        }
        own.several |= other != 0;
        if (!equal) continue;
        std::int64_t first = 0, last = nx;
        while (row[first] != wanted) ++first;
        while (row[last - 1] != wanted) --last;
        std::int64_t count = 0;
        for (std::int64_t x = first; x < last; x += 255) {
          std::uint8_t part = 0;
          for (std::int64_t k = x; k < std::min(x + 255, last); ++k)
            part = static_cast<std::uint8_t>(part + (row[k] == wanted));
          count += part;
        }
        own.count += count;
        own.z_begin = std::min(own.z_begin, z);
        own.z_end = z + 1;
        own.y_begin = std::min(own.y_begin, y);
        own.y_end = std::max(own.y_end, y + 1);
        own.x_begin = std::min(own.x_begin, first);
        own.x_end = std::max(own.x_end, last);
      }
    std::lock_guard<std::mutex> lock(adding);
    found.count += own.count;
    found.several |= own.several;
    found.z_begin = std::min(found.z_begin, own.z_begin);
    found.z_end = std::max(found.z_end, own.z_end);
    found.y_begin = std::min(found.y_begin, own.y_begin);
    found.y_end = std::max(found.y_end, own.y_end);
    found.x_begin = std::min(found.x_begin, own.x_begin);
    found.x_end = std::max(found.x_end, own.x_end);
  });
  return found;
}

template <class V>
void range_inside(const Crop<V>& crop, std::int64_t* least, std::int64_t* largest) {
  V low = std::numeric_limits<V>::max(), high = std::numeric_limits<V>::lowest();
  for (std::int64_t z = 0; z < crop.nz; ++z)
    for (std::int64_t y = 0; y < crop.ny; ++y) {
      const V* row = crop.data + z * crop.step_z + y * crop.step_y;
      const std::uint8_t* in = crop.inside + (z * crop.ny + y) * crop.nx;
      for (std::int64_t x = 0; x < crop.nx; ++x) {
        const V up = in[x] ? row[x] : std::numeric_limits<V>::max();
        const V down = in[x] ? row[x] : std::numeric_limits<V>::lowest();
        low = up < low ? up : low;
        high = down > high ? down : high;
      }
    }
  *least = static_cast<std::int64_t>(low);
  *largest = static_cast<std::int64_t>(high);
}

template <class V>
void count_inside(const Crop<V>& crop, std::int64_t low, std::int64_t bins, std::int64_t* counts, int threads) {
  std::mutex adding;
  if (threads <= 0) threads = cpu::api().threads();
  cpu::parallel_for(crop.nz, threads == 1 ? crop.nz : (crop.nz + 7) / 8, threads,
                    [&](std::int64_t begin, std::int64_t end) {
                      // A bin more than asked for, for what lies outside; two tables in turn, as equal neighbours are
                      // common.
                      std::vector<std::uint32_t> even(bins + 1), odd(bins + 1);
                      for (std::int64_t z = begin; z < end; ++z)
                        for (std::int64_t y = 0; y < crop.ny; ++y) {
                          const V* row = crop.data + z * crop.step_z + y * crop.step_y;
                          const std::uint8_t* in = crop.inside + (z * crop.ny + y) * crop.nx;
                          std::int64_t x = 0, last = crop.nx;
                          while (x < last && !in[x]) ++x;
                          while (last > x && !in[last - 1]) --last;
                          for (; x + 1 < last; x += 2) {
                            ++even[in[x] ? static_cast<std::int64_t>(row[x]) - low : bins];
                            ++odd[in[x + 1] ? static_cast<std::int64_t>(row[x + 1]) - low : bins];
                          }
                          if (x < last) ++even[in[x] ? static_cast<std::int64_t>(row[x]) - low : bins];
                        }
                      std::lock_guard<std::mutex> lock(adding);
                      for (std::int64_t b = 0; b < bins; ++b) counts[b] += std::int64_t{even[b]} + odd[b];
                    });
}

template <class V, class T>
void look_up_inside(const Crop<V>& crop, std::int64_t low, const T* table, std::int64_t pad, T* out, int threads) {
  const std::int64_t step_y = crop.nx + 2 * pad, step_z = step_y * (crop.ny + 2 * pad);
  cpu::parallel_for(crop.nz, (crop.nz + 15) / 16, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t z = begin; z < end; ++z)
      for (std::int64_t y = 0; y < crop.ny; ++y) {
        const V* row = crop.data + z * crop.step_z + y * crop.step_y;
        const std::uint8_t* in = crop.inside + (z * crop.ny + y) * crop.nx;
        T* to = out + (z + pad) * step_z + (y + pad) * step_y + pad;
        std::int64_t x = 0, last = crop.nx;
        while (x < last && !in[x]) ++x;
        while (last > x && !in[last - 1]) --last;
        for (; x < last; ++x)
          to[x] = static_cast<T>(table[in[x] ? static_cast<std::int64_t>(row[x]) - low : 0] & -in[x]);
      }
  });
}

#define FASTIMG_LABELS(T) \
  template Found find_region(const T*, std::int64_t, std::int64_t, std::int64_t, bool, std::int64_t, int);
FASTIMG_LABELS(std::uint8_t)
FASTIMG_LABELS(std::int8_t)
FASTIMG_LABELS(std::uint16_t)
FASTIMG_LABELS(std::int16_t)
FASTIMG_LABELS(std::uint32_t)
FASTIMG_LABELS(std::int32_t)
FASTIMG_LABELS(std::uint64_t)
FASTIMG_LABELS(std::int64_t)

#define FASTIMG_VOXELS(V)                                                                                            \
  template void range_inside(const Crop<V>&, std::int64_t*, std::int64_t*);                                          \
  template void count_inside(const Crop<V>&, std::int64_t, std::int64_t, std::int64_t*, int);                        \
  template void look_up_inside(const Crop<V>&, std::int64_t, const std::uint8_t*, std::int64_t, std::uint8_t*, int); \
  template void look_up_inside(const Crop<V>&, std::int64_t, const std::uint16_t*, std::int64_t, std::uint16_t*, int);
FASTIMG_VOXELS(std::uint8_t)
FASTIMG_VOXELS(std::uint16_t)
FASTIMG_VOXELS(std::int16_t)
FASTIMG_VOXELS(std::int32_t)

}  // namespace fastimg::radiomics
