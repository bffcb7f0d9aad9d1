// The maximal correlation of many windows' matrices: what needs no eigenvalue at once, the others eight at a time.
#pragma once

#include <cstring>
#include <memory>

#include "cpu/pool.hpp"
#include "radiomics/map_items.hpp"

namespace fastimg::radiomics {

constexpr int kLanes = 8;
constexpr int kMostPairs = 64;  // of one direction: products of counts stay below the largest double
constexpr int kMostKinds = 64;  // of levels in a matrix that is no tree: no more than pairs

// A cell of a symmetric matrix, i >= j, and its mirror image.
struct Cell {
  std::uint8_t i, j;
  std::uint16_t weight;
};

// Matrices of n levels, one a lane.
struct Cells {
  double margin[kMostKinds][kLanes];
  double inverse_total[kLanes];
  Cell cell[kLanes][kMostPairs];
  int count[kLanes];
  double* target[kLanes];
  int used;
};

class Correlations {
 public:
  using Eigenvalues = void (*)(const Cells&, int n, double* room, double* found);
  explicit Correlations(Eigenvalues eigenvalues) : eigenvalues_(eigenvalues) {}

  // Begins a matrix; then its cells in any order, one of each kind.
  void begin() { kinds_ = cells_ = 0; }
  void add(std::uint16_t low, std::uint16_t high, std::uint16_t weight) {
    const std::uint8_t i = number(low), j = number(high);
    cell_[cells_++] = {i > j ? i : j, i > j ? j : i, weight};
  }
  // The matrix's correlation goes to the target, at the latest with flush(). `total`: of all cells.
  void end(double total, double* target);
  void flush();

 private:
  std::uint8_t number(std::uint16_t level) {
    if (number_[level] == kNone) {
      number_[level] = static_cast<std::uint8_t>(kinds_);
      level_[kinds_++] = level;
    }
    return number_[level];
  }
  bool apart_or_even() const;
  void run(int n);

  static constexpr std::uint8_t kNone = 255;
  struct Numbers {
    std::uint8_t of[256];
    Numbers() { std::memset(of, kNone, sizeof of); }
    std::uint8_t& operator[](std::uint16_t level) { return of[level]; }
  };

  Eigenvalues eigenvalues_;
  Numbers number_;
  std::uint16_t level_[2 * kMostPairs];
  Cell cell_[kMostPairs];
  int kinds_ = 0, cells_ = 0;
  std::unique_ptr<Cells> waiting_[kMostKinds + 1];
  std::unique_ptr<double[]> room_;
};

}  // namespace fastimg::radiomics
