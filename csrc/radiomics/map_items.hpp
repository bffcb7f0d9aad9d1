// Counts of what repeats among the items of a window.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "radiomics/maps.hpp"

namespace fastimg::radiomics {

// Keys of a cell (first, second <= most) are first << shift | second.
inline int key_shift(std::int64_t most) {
  int shift = 1;
  while (most >> shift) ++shift;
  return shift;
}
// The most pairs, runs, zones or voxels that a window can hold.
inline std::int64_t most_items(const Window& window) {
  return std::max<std::int64_t>(window.cells * std::max<std::int64_t>(window.directions, 1),
                                window.pair_begins[window.offsets]) +
         1;
}

// w * log2(w) of whole numbers that a window can hold.
class Logarithms {
 public:
  Logarithms() : table_(kCount) {
    for (std::uint32_t i = 1; i < kCount; ++i) table_[i] = i * std::log2(i);
  }
  double of_count(std::uint32_t count) const {
    return count < kCount ? table_[count] : count * std::log2(static_cast<double>(count));
  }

 private:
  static constexpr std::uint32_t kCount = 512;
  std::vector<double> table_;
};

// Sums over the cells of a matrix, or of its margin: of w * w and of w * log2(w).
struct Spread {
  double squares = 0, logs = 0;
  // `bits`: log2(total).
  double entropy(double total, double bits) const {
    bits -= logs / total;
    return bits > 1e-14 ? bits : 0;  // rounding alone keeps it from 0
  }
};

// How many items have a key, for items that count one each. Keys are few enough for a cell each.
class Counts {
 public:
  static constexpr bool kWeighted = false;
  Counts(std::int64_t keys, std::int64_t items, const Logarithms& logarithms)
      : cells_(keys), items_(items), logarithms_(&logarithms) {}
  static constexpr std::int64_t kMostKeys = 1 << 21;

  void add(std::int64_t key, double) {
    items_[used_++] = static_cast<std::uint32_t>(key);
    ++cells_[key];
  }
  void into(Spread& spread, std::uint32_t count) const {
    spread.squares += static_cast<double>(count) * count;
    spread.logs += logarithms_->of_count(count);
  }
  // each(key, count) for every key, once; empty afterwards.
  template <class Each>
  void drain(Each&& each) {
    for (std::int64_t i = 0; i < used_; ++i) {
      const std::uint32_t key = items_[i];
      if (const std::uint32_t count = cells_[key]) {
        cells_[key] = 0;
        each(key, count);
      }
    }
    used_ = 0;
  }

 private:
  std::vector<std::uint32_t> cells_, items_;
  std::int64_t used_ = 0;
  const Logarithms* logarithms_;
};

// The same for items with weights, and for any number of keys.
class Weights {
 public:
  static constexpr bool kWeighted = true;
  Weights(std::int64_t, std::int64_t, const Logarithms&) {}

  void add(std::int64_t key, double weight) { items_.push_back({key, weight}); }
  void into(Spread& spread, double weight) const {
    spread.squares += weight * weight;
    spread.logs += weight * std::log2(weight);
  }
  template <class Each>
  void drain(Each&& each) {
    std::stable_sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.key < b.key; });
    for (std::size_t i = 0, next; i < items_.size(); i = next) {
      double total = 0;
      for (next = i; next < items_.size() && items_[next].key == items_[i].key; ++next) total += items_[next].weight;
      each(items_[i].key, total);
    }
    items_.clear();
  }

 private:
  struct Item {
    std::int64_t key;
    double weight;
  };
  std::vector<Item> items_;
};

// The maximal correlation coefficient of a symmetric matrix that is given by its cells, for the few levels of a window.
class Correlation {
 public:
  explicit Correlation(std::int64_t levels) : node_(levels + 1, -1) {}

  void clear() { edges_.clear(); }
  // A cell (i, j), i <= j, and its mirror image.
  void add(std::int32_t i, std::int32_t j, double weight) { edges_.push_back({i, j, weight}); }
  // Each part of the graph of levels adds an eigenvalue 1, a two-coloured one also -1. A graph in one part has a branch
  // to each level but one; with no more branches than that and no loop it is a tree, which two colours suffice for: so
  // with as few of them the correlation is 1.
  static bool tree(std::int64_t kinds, std::int64_t branches, std::int64_t loops) {
    return branches < kinds - 1 || (branches == kinds - 1 && loops == 0);
  }
  // `kinds`: how many levels occur.
  double value(std::int64_t kinds, double flat);

 private:
  struct Edge {
    std::int32_t i, j;
    double weight;
  };
  bool apart_or_even(std::int64_t kinds);
  double eigenvalue(std::int64_t n);

  std::vector<Edge> edges_;
  std::vector<std::int32_t> node_, level_, parent_;
  std::vector<std::uint8_t> colour_;
  std::vector<double> matrix_, margin_, diagonal_, beside_;
};

}  // namespace fastimg::radiomics
