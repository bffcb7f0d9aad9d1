#include "radiomics/maps.hpp"

#include "cpu/pool.hpp"
#include "radiomics/map_glcm.hpp"
#include "radiomics/map_pairs.hpp"
#include "radiomics/map_sizes.hpp"
#include "radiomics/statistics.hpp"

namespace fastimg::radiomics {
namespace {

class FirstOrder {
 public:
  FirstOrder(const Window& window, const MapSettings& settings)
      : window_(window), settings_(settings), levels_(settings.levels + 1, window.cells, logarithms_) {}

  void of(const std::uint16_t* level, const double* values, double* out) {
    sorted_.clear();
    Spread spread;
    for (std::int64_t c = 0; c < window_.cells; ++c)
      if (level[c]) {
        sorted_.push_back(values[window_.places[c]]);
        levels_.add(level[c], 1);
      }
    levels_.drain([&](std::int64_t, auto w) { levels_.into(spread, w); });
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

 private:
  const Window& window_;
  const MapSettings& settings_;
  Logarithms logarithms_;
  Counts levels_;
  std::vector<double> sorted_;
  std::vector<Counted> counted_;
};

class ToneDifferences {
 public:
  ToneDifferences(const Window& window, const MapSettings& settings) : window_(window), settings_(settings) {}

  // As _tone_differences of _texture.py.
  void of(const std::uint16_t* level, double* out) {
    around_.of(window_, level, settings_.alpha);
    tones_.clear();
    for (std::int64_t c = 0; c < window_.cells; ++c) {
      if (!level[c] || (!settings_.peer && around_[c].in == 0)) continue;
      const double apart = around_[c].in
                               ? static_cast<double>(apart_from_mean(level[c], around_[c].in, around_[c].sum)) /
                                     static_cast<double>(around_[c].in)
                               : 0;
      tones_.push_back({static_cast<double>(level[c]), 1, apart});
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

 private:
  struct Tone {
    double level, count, apart;
  };
  const Window& window_;
  const MapSettings& settings_;
  Around around_;
  std::vector<Tone> tones_;
};

// The features of windows by themselves, one after the other.
template <class Features, class Of>
void each_centre(const Job& job, const Of& of) {
  cpu::parallel_for(job.count, 4096, job.threads, [&](std::int64_t begin, std::int64_t end) {
    Features features(job.window, job.settings);
    std::vector<std::uint16_t> level(job.window.cells);
    double row[26];
    for (std::int64_t c = begin; c < end; ++c) {
      const std::int64_t centre = job.centres[c];
      for (std::int64_t cell = 0; cell < job.window.cells; ++cell)
        level[cell] = job.levels[centre + job.window.places[cell]];
      of(features, level.data(), centre, row);
      job.put(c, row);
    }
  });
}

template <class Tally>
void each_sized(const Job& job) {
  each_centre<SizeFeatures<Tally>>(
      job, [&](SizeFeatures<Tally>& features, const std::uint16_t* level, std::int64_t, double* row) {
        if (job.family == Family::glrlm)
          features.runs(level, row);
        else if (job.family == Family::glszm)
          features.zones(level, row);
        else
          features.dependences(level, row);
      });
}

template <class Tally>
void each_paired(const Job& job) {
  each_centre<PairFeatures<Tally>>(job, [](PairFeatures<Tally>& features, const std::uint16_t* level, std::int64_t,
                                           double* row) { features.of(level, row); });
}

}  // namespace

void map_features(Family family, const std::uint16_t* levels, const double* values, const Window& window,
                  const MapSettings& settings, const std::int64_t* centres, const std::int64_t* targets,
                  std::int64_t count, const std::int32_t* slots, double* out, std::int64_t size, int threads) {
  const Job job = {family, levels, values, window, settings, centres, targets, count, slots, out, size, threads};
  const bool many = (job.settings.levels + 1)
                        << key_shift(job.family == Family::glcm ? job.settings.levels : job.window.cells) >
                    Counts::kMostKeys;
  switch (job.family) {
    case Family::statistics:
      return each_centre<FirstOrder>(job, [&](FirstOrder& features, const std::uint16_t* level, std::int64_t centre,
                                              double* row) { features.of(level, job.values + centre, row); });
    case Family::glcm:
      if (pairs_fit(job.window, job.settings)) return map_pairs(job);
      return (many || job.settings.pair_weights ? each_paired<Weights> : each_paired<Counts>)(job);
    case Family::ngtdm:
      return each_centre<ToneDifferences>(job, [](ToneDifferences& features, const std::uint16_t* level, std::int64_t,
                                                  double* row) { features.of(level, row); });
    default:
      return (many || (job.family == Family::glrlm && job.settings.line_weights) ? each_sized<Weights>
                                                                                 : each_sized<Counts>)(job);
  }
}

}  // namespace fastimg::radiomics
