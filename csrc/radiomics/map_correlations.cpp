#include "radiomics/map_correlations.hpp"

#include <cmath>

#include "fastimg/glcm_window.cuh"

namespace fastimg::radiomics {

bool Correlations::apart_or_even() const {
  u64 beside[kMostKinds] = {}, loops = 0;
  for (int e = 0; e < cells_; ++e) {
    const u64 i = u64{1} << cell_[e].i, j = u64{1} << cell_[e].j;
    beside[cell_[e].i] |= j;
    beside[cell_[e].j] |= i;
    loops |= i & j;
  }
  return fastimg::apart_or_even(beside, loops, kinds_);
}

void Correlations::end(double total, double* target) {
  for (int k = 0; k < kinds_; ++k) number_[level_[k]] = kNone;
  if (apart_or_even()) {
    *target = 1;
    return;
  }
  std::unique_ptr<Cells>& waiting = waiting_[kinds_];
  if (!waiting) waiting = std::make_unique<Cells>();
  Cells& cells = *waiting;
  const int lane = cells.used++;
  for (int k = 0; k < kinds_; ++k) cells.margin[k][lane] = 0;
  for (int e = 0; e < cells_; ++e) {
    const Cell& cell = cell_[e];
    cells.margin[cell.i][lane] += cell.weight;
    if (cell.i != cell.j) cells.margin[cell.j][lane] += cell.weight;
    cells.cell[lane][e] = cell;
  }
  cells.count[lane] = cells_;
  cells.inverse_total[lane] = 1 / total;
  cells.target[lane] = target;
  if (cells.used == kLanes) run(kinds_);
}

void Correlations::run(int n) {
  Cells& cells = *waiting_[n];
  constexpr std::size_t kRoom = kMostKinds * (kMostKinds + 1) / 2 * kLanes;
  if (!room_) room_ = std::make_unique<double[]>(kRoom + kLanes);
  void* place = room_.get();
  std::size_t size = (kRoom + kLanes) * sizeof(double);
  double found[kLanes];
  eigenvalues_(cells, n, static_cast<double*>(std::align(64, kRoom * sizeof(double), place, size)), found);
  for (int lane = 0; lane < cells.used; ++lane) *cells.target[lane] = found[lane];
  cells.used = 0;
}

void Correlations::flush() {
  for (int n = 0; n <= kMostKinds; ++n)
    if (waiting_[n] && waiting_[n]->used) run(n);
}

}  // namespace fastimg::radiomics
