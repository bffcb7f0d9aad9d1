// Features of a window around each voxel: matrices are never made, each pair, run, zone or voxel is an item, and what
// its cell of the matrix would hold is found in a table that is cleared item by item.
#pragma once

#include <cstdint>

namespace fastimg::radiomics {

// The cells of a window in order of (z, y, x), and what lies in them along each direction.
struct Window {
  const std::int64_t* places;  // from the centre, in the padded box
  std::int64_t cells;
  // Pairs (cell, cell at the offset) of direction k: pairs[2 * begins[k]] to pairs[2 * begins[k + 1]].
  const std::int32_t *pairs, *pair_begins;
  std::int64_t offsets;
  // Pairs of neighbours at distance 1, for zones.
  const std::int32_t* touching;
  std::int64_t touching_count;
  // Lines of cells along direction k, each ended by -1: lines[line_begins[k]] to lines[line_begins[k + 1]].
  const std::int32_t *lines, *line_begins;
  std::int64_t directions;
};

struct MapSettings {
  std::int64_t levels;  // of the region: what normalised features divide by
  std::int64_t alpha;
  bool symmetric, merged;
  bool peer;                   // PyRadiomics' deviations
  const double* pair_weights;  // of each offset, or null
  const double* line_weights;  // of each direction, or null
  double shift, voxel_volume;
  double flat_correlation;  // MCC of a window of one level
};

enum class Family : int { statistics, glcm, glrlm, glszm, ngldm, ngtdm };
constexpr int kMapFeatures[] = {21, 26, 16, 16, 17, 5};

// For centre c (a place in the padded box `levels`, of `values` and with room for the window): feature f of the family
// goes to out[slots[f] * size + targets[c]], where slots[f] >= 0. Families in the order of Family; statistics are those
// of statistics.hpp, then total energy, entropy and uniformity. `values` serves statistics alone.
struct Job {
  Family family;
  const std::uint16_t* levels;
  const double* values;
  const Window& window;
  const MapSettings& settings;
  const std::int64_t *centres, *targets;
  std::int64_t count;
  const std::int32_t* slots;
  double* out;
  std::int64_t size;
  int threads;

  void put(std::int64_t c, const double* row) const {
    for (int f = 0; f < kMapFeatures[static_cast<int>(family)]; ++f)
      if (slots[f] >= 0) out[slots[f] * size + targets[c]] = row[f];
  }
};
void map_features(Family family, const std::uint16_t* levels, const double* values, const Window& window,
                  const MapSettings& settings, const std::int64_t* centres, const std::int64_t* targets,
                  std::int64_t count, const std::int32_t* slots, double* out, std::int64_t size, int threads);

}  // namespace fastimg::radiomics
