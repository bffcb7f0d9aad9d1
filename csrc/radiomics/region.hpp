// From a mask and an image to the region: where it is, how often each intensity occurs in it, and its grey levels.
#pragma once

#include <cstdint>

namespace fastimg::radiomics {

struct Found {
  std::int64_t count;                                           // voxels of the region
  std::int64_t z_begin, z_end, y_begin, y_end, x_begin, x_end;  // their box
  std::int64_t label;
  bool several;  // voxels of more than one label other than 0 were seen
};

// Where `data` equals `label`, or, with `any`, where it is not 0; `label` of the result is then the first one's.
template <class T>
Found find_region(const T* data, std::int64_t nz, std::int64_t ny, std::int64_t nx, bool any, std::int64_t label,
                  int threads);

// A box of an image of whole numbers whose rows are contiguous, and the mask of the region in it (contiguous).
template <class V>
struct Crop {
  const V* data;
  std::int64_t step_z, step_y;  // in voxels
  const std::uint8_t* inside;
  std::int64_t nz, ny, nx;
};

// The least and the largest value inside; least > largest when there is none.
template <class V>
void range_inside(const Crop<V>& crop, std::int64_t* least, std::int64_t* largest);

// counts[v - low] += how often v occurs inside.
template <class V>
void count_inside(const Crop<V>& crop, std::int64_t low, std::int64_t bins, std::int64_t* counts, int threads);

// out (padded box) = table[v - low] inside, untouched elsewhere in its border and 0 outside the region.
template <class V, class T>
void look_up_inside(const Crop<V>& crop, std::int64_t low, const T* table, std::int64_t pad, T* out, int threads);

}  // namespace fastimg::radiomics
