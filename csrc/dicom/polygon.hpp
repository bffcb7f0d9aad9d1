// Closed polygons to voxels by the even-odd rule at pixel centres.
//
// A row j is crossed by an edge when low <= j < high; the pixels at and right of the crossing are toggled. So polygons
// that share an edge never share a pixel nor leave one out, a contour inside another makes a hole, and an edge walked
// in both directions (a keyhole) cancels exactly, because every edge is computed from its lower end. The share of the
// height is divided out first: it stays below 1 where a slope would overflow on a nearly level edge. Cost: one division
// and one multiplication an edge and row, then one byte a pixel of the rows touched.
#pragma once

#include <cstdint>

namespace fastimg::dicom {

// points: pairs (row, column) in index units, contour after contour. Contour c is points[starts[c]] ..
// points[starts[c+1]] and belongs to the plane p with first[p] <= c < first[p + 1]. out: planes x rows x columns bytes,
// all zero at entry. `threads` <= 0: the configured number. Coordinates must be finite.
void fill(const double* points, const std::int64_t* starts, const std::int64_t* first, std::int64_t planes,
          std::int64_t rows, std::int64_t columns, std::uint8_t* out, int threads);

}  // namespace fastimg::dicom
