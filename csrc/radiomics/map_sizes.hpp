// Features of a window that come of items with a level and a size: runs, zones, dependences.
#pragma once

#include "fastimg/texture.cuh"
#include "radiomics/map_items.hpp"
#include "radiomics/maps.hpp"

namespace fastimg::radiomics {

// What the neighbours of each cell of a window say.
class Around {
 public:
  void of(const Window& window, const std::uint16_t* level, std::int64_t alpha) {
    each_.assign(window.cells, {});
    for (std::int32_t p = 0; p < window.pair_begins[window.offsets]; ++p) {
      const std::int32_t a = window.pairs[2 * p], b = window.pairs[2 * p + 1];
      if (!level[a] || !level[b]) continue;
      const bool near = depends(level[a], level[b], alpha);
      each_[a].near += near;
      each_[b].near += near;
      ++each_[a].in;
      ++each_[b].in;
      each_[a].sum += level[b];
      each_[b].sum += level[a];
    }
  }
  struct Cell {
    std::int64_t near = 0, in = 0, sum = 0;
  };
  const Cell& operator[](std::int64_t cell) const { return each_[cell]; }

 private:
  std::vector<Cell> each_;
};

// Tally: Counts, or Weights where items have weights or levels are very many.
template <class Tally>
class SizeFeatures {
 public:
  SizeFeatures(const Window& window, const MapSettings& settings)
      : window_(window),
        settings_(settings),
        shift_(key_shift(window.cells)),
        joint_((settings.levels + 1) << shift_, most_items(window), logarithms_),
        first_(settings.levels + 1, most_items(window), logarithms_),
        second_(window.cells + 1, most_items(window), logarithms_) {
    items_.reserve(most_items(window));
    for (std::int64_t i = 0; i <= std::max(settings.levels, window.cells); ++i)
      inverse_square_.push_back(i ? 1 / static_cast<double>(i * i) : 0);
  }

  void runs(const std::uint16_t* level_of, double* out) {
    int matrices = 0;
    std::fill(out, out + 16, 0.0);
    const bool one = settings_.merged || settings_.line_weights;
    items_.clear();
    for (std::int64_t k = 0; k < window_.directions; ++k) {
      const double weight = settings_.line_weights ? settings_.line_weights[k] : 1;
      const std::size_t before = items_.size();
      bool shared = false;  // two voxels on one line
      std::int64_t on_line = 0, length = 0;
      std::uint16_t level = 0;
      for (std::int32_t p = window_.line_begins[k]; p < window_.line_begins[k + 1]; ++p) {
        const std::int32_t cell = window_.lines[p];
        const std::uint16_t now = cell < 0 ? std::uint16_t{0} : level_of[cell];
        if (now && now == level) {
          ++length;
        } else {
          if (level) items_.push_back({level, length, weight});
          level = now;
          length = 1;
        }
        on_line = cell < 0 ? 0 : on_line + (now != 0);
        shared |= on_line > 1;
      }
      if (settings_.peer && !shared) items_.resize(before);
      if (one && k + 1 < window_.directions) continue;
      if (items_.empty()) continue;
      double row[17];
      size_row(0, row);
      for (int f = 0; f < 16; ++f) out[f] += row[f];
      ++matrices;
      items_.clear();
    }
    for (int f = 0; f < 16; ++f) out[f] = matrices ? out[f] / matrices : std::nan("");
  }

  void zones(const std::uint16_t* level, double* out) {
    zone_.resize(window_.cells);
    size_.assign(window_.cells, 0);
    for (std::int64_t c = 0; c < window_.cells; ++c) zone_[c] = static_cast<std::int32_t>(c);
    const auto root = [&](std::int32_t c) {
      while (zone_[c] != c) c = zone_[c] = zone_[zone_[c]];
      return c;
    };
    for (std::int64_t p = 0; p < window_.touching_count; ++p) {
      const std::int32_t a = window_.touching[2 * p], b = window_.touching[2 * p + 1];
      if (level[a] && level[a] == level[b]) {
        const std::int32_t i = root(a), j = root(b);
        zone_[std::max(i, j)] = std::min(i, j);
      }
    }
    for (std::int64_t c = 0; c < window_.cells; ++c) ++size_[root(static_cast<std::int32_t>(c))];
    items_.clear();
    for (std::int64_t c = 0; c < window_.cells; ++c)
      if (level[c] && zone_[c] == c) items_.push_back({level[c], size_[c], 1});
    double row[17];
    size_row(0, row);
    std::copy(row, row + 16, out);
  }

  void dependences(const std::uint16_t* level, double* out) {
    around_.of(window_, level, settings_.alpha);
    items_.clear();
    for (std::int64_t c = 0; c < window_.cells; ++c)
      if (level[c]) items_.push_back({level[c], around_[c].near + 1, 1});
    size_row(static_cast<double>(items_.size()), out);
  }

 private:
  struct Item {
    std::int64_t level, size;
    double weight;
  };

  // The 17 features of size_features.hpp.
  void size_row(double voxels, double* out) {
    double total = 0, length = 0, levels = 0, emphasis[8] = {};
    for (const Item& e : items_) {
      const double i = static_cast<double>(e.level), j = static_cast<double>(e.size), w = e.weight;
      const double ii = i * i, jj = j * j, of_i = inverse_square_[e.level], of_j = inverse_square_[e.size];
      total += w;
      length += w * j;
      levels += w * i;
      const double add[8] = {w * of_j,        w * jj,        w * of_i,      w * ii,
                             w * of_i * of_j, w * ii * of_j, w * jj * of_i, w * ii * jj};
      for (int f = 0; f < 8; ++f) emphasis[f] += add[f];
      joint_.add(e.level << shift_ | e.size, w);
      first_.add(e.level, w);
      second_.add(e.size, w);
    }
    double level_var = 0, size_var = 0;
    for (const Item& e : items_) {
      const double a = static_cast<double>(e.level) - levels / total, b = static_cast<double>(e.size) - length / total;
      level_var += e.weight * a * a;
      size_var += e.weight * b * b;
    }
    Spread joint, level, size;
    joint_.drain([&](std::int64_t, auto w) { joint_.into(joint, w); });
    first_.drain([&](std::int64_t, auto w) { first_.into(level, w); });
    second_.drain([&](std::int64_t, auto w) { second_.into(size, w); });
    for (int f = 0; f < 8; ++f) out[f] = emphasis[f] / total;
    const double rest[9] = {level.squares / total,
                            level.squares / (total * total),
                            size.squares / total,
                            size.squares / (total * total),
                            total / (voxels > 0 ? voxels : length),
                            level_var / total,
                            size_var / total,
                            joint.entropy(total, std::log2(total)),
                            joint.squares / (total * total)};
    std::copy(rest, rest + 9, out + 8);
  }

  const Window& window_;
  const MapSettings& settings_;
  Logarithms logarithms_;
  int shift_;
  Tally joint_, first_, second_;
  std::vector<double> inverse_square_;
  std::vector<std::int32_t> zone_;
  std::vector<std::int64_t> size_;
  std::vector<Item> items_;
  Around around_;
};

}  // namespace fastimg::radiomics
