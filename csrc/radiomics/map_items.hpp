// Counts of what repeats among the items of a window.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace fastimg::radiomics {

// log2 of whole numbers, looked up where they are small.
class Logarithms {
 public:
  static double of(double value) {
    static const Logarithms all;
    if (value >= 1 && value < kCount) {
      const int whole = static_cast<int>(value);
      if (whole == value) return all.table_[whole];
    }
    return std::log2(value);
  }

 private:
  static constexpr int kCount = 1024;
  Logarithms() : table_(kCount) {
    for (int i = 1; i < kCount; ++i) table_[i] = std::log2(i);
  }
  std::vector<double> table_;
};

// The weight that all items with one key have together. Keys below kDirect have a cell each, others are sorted.
class Tally {
 public:
  explicit Tally(std::int64_t keys) : direct_(keys <= kDirect), cells_(direct_ ? keys : 0) {}

  void clear() { items_.clear(); }
  void add(std::int64_t key, double weight) {
    items_.push_back({key, weight});
    if (direct_) cells_[key] += weight;
  }
  // each(key, total weight) for every key, once; the tally is empty afterwards.
  template <class Each>
  void drain(Each&& each) {
    if (direct_) {
      for (const Item& item : items_)
        if (const double total = cells_[item.key]; total != 0) {
          cells_[item.key] = 0;
          each(item.key, total);
        }
    } else {
      std::stable_sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.key < b.key; });
      for (std::size_t i = 0, next; i < items_.size(); i = next) {
        double total = 0;
        for (next = i; next < items_.size() && items_[next].key == items_[i].key; ++next) total += items_[next].weight;
        each(items_[i].key, total);
      }
    }
    items_.clear();
  }

 private:
  static constexpr std::int64_t kDirect = 1 << 20;
  struct Item {
    std::int64_t key;
    double weight;
  };
  bool direct_;
  std::vector<double> cells_;
  std::vector<Item> items_;
};

// Sums over the distinct keys that entropies and energies are made of.
struct Spread {
  double squares = 0, logs = 0;  // of w * w and of w * log2(w)
  void add(double w) {
    squares += w * w;
    logs += w * Logarithms::of(w);
  }
  double entropy(double total) const { return Logarithms::of(total) - logs / total; }
};

}  // namespace fastimg::radiomics
