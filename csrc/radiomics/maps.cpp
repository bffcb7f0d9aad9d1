#include "radiomics/maps.hpp"

#include "cpu/pool.hpp"
#include "fastimg/texture.cuh"
#include "radiomics/glcm.hpp"
#include "radiomics/map_items.hpp"
#include "radiomics/statistics.hpp"

namespace fastimg::radiomics {
namespace {

// Tally: Counts, or Weights where items have weights or levels are very many.
template <class Tally>
class Features {
 public:
  Features(Family family, const Window& window, const MapSettings& settings)
      : family_(family),
        window_(window),
        settings_(settings),
        side_(settings.levels + 1),
        level_(window.cells),
        shift_(shift_of(family, window, settings)),
        joint_(joint_keys(family, window, settings), most_items(window), logarithms_),
        first_(side_, 2 * most_items(window), logarithms_),
        second_(std::max(side_, window.cells + 1), most_items(window), logarithms_),
        sum_(2 * side_, most_items(window), logarithms_),
        correlation_(settings.levels) {
    pairs_.reserve(most_items(window));
    items_.reserve(most_items(window));
    for (std::int64_t i = 0; i < std::max(side_, window.cells + 1); ++i)
      inverse_square_.push_back(i ? 1 / static_cast<double>(i * i) : 0);
    const double n = static_cast<double>(settings.levels);
    for (std::int64_t d = 0; d < side_; ++d) {
      const double k = static_cast<double>(d);
      inverse_.push_back(
          {1 / (1 + k), 1 / (1 + k / n), 1 / (1 + k * k), 1 / (1 + k * k / (n * n)), d ? 1 / (k * k) : 0});
    }
  }

  // The features of one window.
  void of(const std::uint16_t* centre, const double* values, double* out) {
    for (std::int64_t c = 0; c < window_.cells; ++c) level_[c] = centre[window_.places[c]];
    switch (family_) {
      case Family::statistics:
        return statistics_of(values, out);
      case Family::glcm:
        return glcm_of(out);
      case Family::glrlm:
        return glrlm_of(out);
      case Family::glszm:
        return glszm_of(out);
      default:
        return neighbours_of(out);
    }
  }

  // Keys of a cell (first, second) are first << shift | second.
  static int shift_of(Family family, const Window& window, const MapSettings& settings) {
    const std::int64_t most = family == Family::glcm ? settings.levels : window.cells;
    int shift = 1;
    while (most >> shift) ++shift;
    return shift;
  }
  static std::int64_t joint_keys(Family family, const Window& window, const MapSettings& settings) {
    return (settings.levels + 1) << shift_of(family, window, settings);
  }
  static std::int64_t most_items(const Window& window) {
    return std::max<std::int64_t>(window.cells * std::max<std::int64_t>(window.directions, 1),
                                  window.pair_begins[window.offsets]) +
           1;
  }

 private:
  // --- first order ---
  void statistics_of(const double* values, double* out) {
    sorted_.clear();
    Spread spread;
    for (std::int64_t c = 0; c < window_.cells; ++c)
      if (level_[c]) {
        sorted_.push_back(values[window_.places[c]]);
        first_.add(level_[c], 1);
      }
    first_.drain([&](std::int64_t, auto w) { first_.into(spread, w); });
    std::sort(sorted_.begin(), sorted_.end());
    counted_.clear();
    for (const double v : sorted_) {
      if (counted_.empty() || counted_.back().value != v) counted_.push_back({v, 0});
      ++counted_.back().count;
    }
    statistics(counted_, out);
    const double n = static_cast<double>(sorted_.size());
    if (settings_.peer && out[1] > 0) out[3] += 3;
    if (settings_.shift != 0) {
      double energy = 0;
      for (const double v : sorted_) energy += (v + settings_.shift) * (v + settings_.shift);
      out[16] = energy;
      out[17] = std::sqrt(energy / n);
    }
    out[18] = out[16] * settings_.voxel_volume;
    out[19] = spread.entropy(n, std::log2(n));
    out[20] = spread.squares / (n * n);
  }

  // --- GLCM ---
  void glcm_of(double* out) {
    int matrices = 0;
    std::fill(out, out + 26, 0.0);
    const bool one = settings_.merged || settings_.pair_weights;
    pairs_.clear();
    for (std::int64_t k = 0; k < window_.offsets; ++k) {
      const double weight = settings_.pair_weights ? settings_.pair_weights[k] : 1;
      for (std::int32_t p = window_.pair_begins[k]; p < window_.pair_begins[k + 1]; ++p) {
        const std::int32_t i = level_[window_.pairs[2 * p]], j = level_[window_.pairs[2 * p + 1]];
        if (i && j) pairs_.push_back({i, j, weight});
      }
      if (one && k + 1 < window_.offsets) continue;
      if (pairs_.empty()) continue;
      double row[26];
      glcm_row(row);
      for (int f = 0; f < 26; ++f) out[f] += row[f];
      ++matrices;
      pairs_.clear();
    }
    for (int f = 0; f < 26; ++f) out[f] = matrices ? out[f] / matrices : std::nan("");
  }

  void glcm_row(double* out) {
    const bool symmetric = settings_.symmetric;
    double total = 0, differences = 0, squares = 0, product = 0, mean_x = 0, mean_y = 0;
    Five inverse{};
    for (const Pair& p : pairs_) {
      const double w = p.weight, i = p.i, j = p.j;
      const std::int32_t d = p.i < p.j ? p.j - p.i : p.i - p.j;
      const Five& of = inverse_[d];
      total += w;
      differences += w * d;
      squares += w * d * d;
      product += w * i * j;
      mean_x += w * i;
      mean_y += w * j;
      for (int f = 0; f < 5; ++f) inverse.at[f] += w * of.at[f];
    }
    if (symmetric) mean_x = mean_y = 0.5 * (mean_x + mean_y);
    mean_x /= total;
    mean_y /= total;
    const double apart = differences / total;
    double var_x = 0, var_y = 0, covariance = 0, sum_var = 0, shade = 0, prominence = 0, diff_var = 0, sums = 0;
    for (const Pair& p : pairs_) {
      const double w = p.weight, x = p.i - mean_x, y = p.j - mean_y, both = x + y, two = both * both;
      var_x += w * x * x;
      var_y += w * y * y;
      covariance += w * x * y;
      sums += w * (p.i + p.j);
      sum_var += w * two;
      shade += w * two * both;
      prominence += w * two * two;
      const double away = (p.i < p.j ? p.j - p.i : p.i - p.j) - apart;
      diff_var += w * away * away;
    }
    if (symmetric) var_x = var_y = 0.5 * (var_x + var_y);

    // What each cell of the matrix, of its margins and of its diagonals holds.
    Spread joint, x, y, difference, sum;
    double peak = 0;
    std::int64_t kinds = 0;
    for (const Pair& p : pairs_) {
      const bool swap = symmetric && p.i > p.j;
      joint_.add(static_cast<std::int64_t>(swap ? p.j : p.i) << shift_ | (swap ? p.i : p.j), p.weight);
      first_.add(p.i, p.weight);
      (symmetric ? first_ : second_).add(p.j, p.weight);
      sum_.add(p.i + p.j, p.weight);
    }
    correlation_.clear();
    joint_.drain([&](std::int64_t key, auto w) {
      const auto i = static_cast<std::int32_t>(key >> shift_);
      const auto j = static_cast<std::int32_t>(key & ((std::int64_t{1} << shift_) - 1));
      if (symmetric) {  // a pair counts twice: in both cells, or two times in the one on the diagonal
        if (i == j)
          w *= 2;
        else
          joint_.into(joint, w);
        correlation_.add(i, j, w);
      } else {
        directed_.push_back({i, j, static_cast<double>(w)});
      }
      joint_.into(joint, w);
      peak = std::max(peak, static_cast<double>(w));
    });
    first_.drain([&](std::int64_t, auto w) {
      first_.into(x, w);
      ++kinds;
    });
    if (!symmetric) second_.drain([&](std::int64_t, auto w) { second_.into(y, w); });
    sum_.drain([&](std::int64_t, auto w) { sum_.into(sum, w); });
    for (const Pair& p : pairs_) first_.add(p.i < p.j ? p.j - p.i : p.i - p.j, p.weight);
    first_.drain([&](std::int64_t, auto w) { first_.into(difference, w); });

    const double all = symmetric ? 2 * total : total;
    const double bits = std::log2(total), all_bits = symmetric ? bits + 1 : bits;
    const double hxy = joint.entropy(all, all_bits), hx = x.entropy(all, all_bits);
    const double hy = symmetric ? hx : y.entropy(all, all_bits);
    const double most = std::max(hx, hy), information = 1 - std::exp(-2 * (hx + hy - hxy));
    const double sigma = std::sqrt(var_x / total) * std::sqrt(var_y / total);
    const double row[26] = {peak / all,
                            mean_x,
                            var_x / total,
                            hxy,
                            apart,
                            diff_var / total,
                            difference.entropy(total, bits),
                            sums / total,
                            sum_var / total,
                            sum.entropy(total, bits),
                            joint.squares / (all * all),
                            squares / total,
                            apart,
                            inverse.at[0] / total,
                            inverse.at[1] / total,
                            inverse.at[2] / total,
                            inverse.at[3] / total,
                            inverse.at[4] / total,
                            sigma == 0 ? 1 : covariance / total / sigma,
                            product / total,
                            sum_var / total,
                            shade / total,
                            prominence / total,
                            most == 0 ? 0 : (hxy - hx - hy) / most,
                            information > 0 ? std::sqrt(information) : 0,
                            symmetric ? correlation_.value(kinds, settings_.flat_correlation) : directed_correlation()};
    std::copy(row, row + 26, out);
  }

  // Singular values of a matrix that is not symmetric are eigenvalues of one of twice the size, [0 A; A' 0], whose
  // levels are rows and columns; each occurs with both signs, so the second largest singular value is asked for.
  double directed_correlation() {
    rows_.clear();
    for (const Pair& p : directed_) {
      rows_.push_back(p.i);
      rows_.push_back(p.j);
    }
    std::sort(rows_.begin(), rows_.end());
    rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
    const auto n = static_cast<std::int64_t>(rows_.size());
    double result = settings_.flat_correlation;
    if (n > 1) {
      const auto place = [&](std::int32_t level) {
        return std::lower_bound(rows_.begin(), rows_.end(), level) - rows_.begin();
      };
      // Q = B B' with B(i, j) = p(i, j) / sqrt(px(i) py(j)); as a matrix of weights its margins are px.
      std::vector<double> p(n * n), px(n), py(n), product(n * n);
      for (const Pair& e : directed_) {
        p[place(e.i) * n + place(e.j)] += e.weight;
        px[place(e.i)] += e.weight;
        py[place(e.j)] += e.weight;
      }
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j)
          for (std::int64_t k = 0; k < n; ++k)
            if (py[k] > 0) product[i * n + j] += p[i * n + k] * p[j * n + k] / py[k];
      std::int64_t rows = 0;
      for (const double w : px) rows += w > 0;
      result = rows < 2 ? 0 : std::sqrt(std::max(0.0, maximal_correlation(product.data(), n)));
    }
    directed_.clear();
    return result;
  }

  // --- items with a level and a size: runs, zones, dependences ---
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

  void glrlm_of(double* out) {
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
        const std::uint16_t now = cell < 0 ? std::uint16_t{0} : level_[cell];
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

  void glszm_of(double* out) {
    zone_.resize(window_.cells);
    size_.assign(window_.cells, 0);
    for (std::int64_t c = 0; c < window_.cells; ++c) zone_[c] = static_cast<std::int32_t>(c);
    const auto root = [&](std::int32_t c) {
      while (zone_[c] != c) c = zone_[c] = zone_[zone_[c]];
      return c;
    };
    for (std::int64_t p = 0; p < window_.touching_count; ++p) {
      const std::int32_t a = window_.touching[2 * p], b = window_.touching[2 * p + 1];
      if (level_[a] && level_[a] == level_[b]) {
        const std::int32_t i = root(a), j = root(b);
        zone_[std::max(i, j)] = std::min(i, j);
      }
    }
    for (std::int64_t c = 0; c < window_.cells; ++c) ++size_[root(static_cast<std::int32_t>(c))];
    items_.clear();
    for (std::int64_t c = 0; c < window_.cells; ++c)
      if (level_[c] && zone_[c] == c) items_.push_back({level_[c], size_[c], 1});
    double row[17];
    size_row(0, row);
    std::copy(row, row + 16, out);
  }

  // --- NGLDM and NGTDM ---
  void neighbours_of(double* out) {
    around_.assign(window_.cells, {});
    for (std::int32_t p = 0; p < window_.pair_begins[window_.offsets]; ++p) {
      const std::int32_t a = window_.pairs[2 * p], b = window_.pairs[2 * p + 1];
      if (!level_[a] || !level_[b]) continue;
      const bool near = depends(level_[a], level_[b], settings_.alpha);
      around_[a].near += near;
      around_[b].near += near;
      ++around_[a].in;
      ++around_[b].in;
      around_[a].sum += level_[b];
      around_[b].sum += level_[a];
    }
    if (family_ == Family::ngldm) {
      items_.clear();
      for (std::int64_t c = 0; c < window_.cells; ++c)
        if (level_[c]) items_.push_back({level_[c], around_[c].near + 1, 1});
      size_row(static_cast<double>(items_.size()), out);
    } else {
      differences(out);
    }
  }

  // As _tone_differences of _texture.py.
  void differences(double* out) {
    tones_.clear();
    for (std::int64_t c = 0; c < window_.cells; ++c) {
      if (!level_[c] || (!settings_.peer && around_[c].in == 0)) continue;
      const double apart = around_[c].in
                               ? static_cast<double>(apart_from_mean(level_[c], around_[c].in, around_[c].sum)) /
                                     static_cast<double>(around_[c].in)
                               : 0;
      tones_.push_back({static_cast<double>(level_[c]), 1, apart});
    }
    std::sort(tones_.begin(), tones_.end(), [](const Tone& a, const Tone& b) { return a.level < b.level; });
    std::size_t kinds = 0;
    for (const Tone& tone : tones_) {
      if (kinds && tones_[kinds - 1].level == tone.level) {
        tones_[kinds - 1].count += tone.count;
        tones_[kinds - 1].apart += tone.apart;
      } else {
        tones_[kinds++] = tone;
      }
    }
    double voxels = 0, total = 0, weighted = 0;
    for (std::size_t k = 0; k < kinds; ++k) voxels += tones_[k].count;
    if (kinds == 0) {
      out[0] = 1e6;
      std::fill(out + 1, out + 5, 0.0);
      return;
    }
    for (std::size_t k = 0; k < kinds; ++k) {
      total += tones_[k].apart;
      weighted += tones_[k].count / voxels * tones_[k].apart;
    }
    double contrast = 0, spread = 0, complexity = 0, strength = 0;
    for (std::size_t a = 0; a < kinds; ++a)
      for (std::size_t b = a + 1; b < kinds; ++b) {  // each pair of levels once: it counts twice
        const double p = tones_[a].count / voxels, q = tones_[b].count / voxels;
        const double between = tones_[b].level - tones_[a].level, both = p + q;
        contrast += p * q * between * between;
        spread += std::fabs(tones_[a].level * p - tones_[b].level * q);
        complexity += between * (p * tones_[a].apart + q * tones_[b].apart) / both;
        strength += both * between * between;
      }
    const double n = static_cast<double>(kinds);
    out[0] = weighted > 0 ? 1 / weighted : 1e6;
    out[1] = kinds > 1 ? 2 * contrast * total / voxels / (n * (n - 1)) : 0;
    out[2] = spread > 0 ? weighted / (2 * spread) : 0;
    out[3] = 2 * complexity / voxels;
    out[4] = total > 0 ? 2 * strength / total : 0;
  }

  struct Pair {
    std::int32_t i, j;
    double weight;
  };
  struct Five {
    double at[5];
  };
  struct Around {
    std::int64_t near = 0, in = 0, sum = 0;
  };
  struct Tone {
    double level, count, apart;
  };

  Family family_;
  const Window& window_;
  const MapSettings& settings_;
  std::int64_t side_;
  Logarithms logarithms_;
  std::vector<std::uint16_t> level_;
  int shift_;
  Tally joint_, first_, second_, sum_;
  Correlation correlation_;
  std::vector<Five> inverse_;
  std::vector<double> inverse_square_;
  std::vector<Pair> pairs_, directed_;
  std::vector<std::int32_t> rows_, zone_;
  std::vector<std::int64_t> size_;
  std::vector<Item> items_;
  std::vector<Around> around_;
  std::vector<Tone> tones_;
  std::vector<double> sorted_;
  std::vector<Counted> counted_;
};

template <class Tally>
void each_centre(Family family, const std::uint16_t* levels, const double* values, const Window& window,
                 const MapSettings& settings, const std::int64_t* centres, const std::int64_t* targets,
                 std::int64_t count, const std::int32_t* slots, double* out, std::int64_t size, int threads) {
  cpu::parallel_for(count, 4096, threads, [&](std::int64_t begin, std::int64_t end) {
    Features<Tally> features(family, window, settings);
    double row[26];
    for (std::int64_t c = begin; c < end; ++c) {
      features.of(levels + centres[c], values ? values + centres[c] : nullptr, row);
      for (int f = 0; f < kMapFeatures[static_cast<int>(family)]; ++f)
        if (slots[f] >= 0) out[slots[f] * size + targets[c]] = row[f];
    }
  });
}

}  // namespace

void map_features(Family family, const std::uint16_t* levels, const double* values, const Window& window,
                  const MapSettings& settings, const std::int64_t* centres, const std::int64_t* targets,
                  std::int64_t count, const std::int32_t* slots, double* out, std::int64_t size, int threads) {
  const bool weighted =
      (family == Family::glcm && settings.pair_weights) || (family == Family::glrlm && settings.line_weights);
  const bool many = Features<Counts>::joint_keys(family, window, settings) > Counts::kMostKeys;
  (weighted || many ? each_centre<Weights> : each_centre<Counts>)(family, levels, values, window, settings, centres,
                                                                  targets, count, slots, out, size, threads);
}

}  // namespace fastimg::radiomics
