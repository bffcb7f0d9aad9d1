#include "radiomics/map_pairs.hpp"

#include <cmath>

namespace fastimg::radiomics {

bool pairs_fit(const Window& window, const MapSettings& settings) {
  if (!settings.symmetric || settings.merged || settings.pair_weights || settings.levels > 254) return false;
  for (std::int64_t k = 0; k < window.offsets; ++k)
    if (window.pair_begins[k + 1] - window.pair_begins[k] > kMostPairs) return false;
  return true;
}

namespace {

class Block {
 public:
  explicit Block(const Job& job)
      : job_(job),
        level_(job.window.cells * kWindows),
        correlation_(job.settings.levels),
        inverse_(inverses(job.settings.levels)) {
    inverse_.push_back({});
    for (int i = 0; i <= 2 * kMostPairs; ++i) bits_[i] = i ? std::log2(i) : 0;
  }

  // Windows [begin, end), at most kWindows.
  void run(std::int64_t begin, std::int64_t end) {
    const Window& window = job_.window;
    const auto count = static_cast<int>(end - begin);
    const std::int64_t* centres = job_.centres + begin;
    for (std::int64_t cell = 0; cell < window.cells; ++cell)
      for (int w = 0; w < kWindows; ++w)
        level_[cell * kWindows + w] = job_.levels[centres[w < count ? w : 0] + window.places[cell]];
    for (int w = 0; w < count; ++w) {
      matrices_[w] = 0;
      std::fill(rows_[w], rows_[w] + 26, 0.0);
    }
    for (std::int64_t k = 0; k < window.offsets; ++k) {
      const std::int32_t from = window.pair_begins[k], pairs = window.pair_begins[k + 1] - from;
      sums_of_(reinterpret_cast<const std::uint16_t (*)[kWindows]>(level_.data()), window.pairs + 2 * from, pairs,
               inverse_.data(), static_cast<std::uint16_t>(inverse_.size() - 1), sums_);
      for (int w = 0; w < count; ++w)
        if (sums_.total[w] > 0) add(w, pairs);
    }
    for (int w = 0; w < count; ++w) {
      for (double& value : rows_[w]) value = matrices_[w] ? value / matrices_[w] : std::nan("");
      job_.put(begin + w, rows_[w]);
    }
  }

 private:
  // The features of a window's matrix of one direction, as PairFeatures::row_of.
  void add(int w, std::int32_t pairs) {
    const PairSums& s = sums_;
    const double total = s.total[w], all = 2 * total, bits = bits_[static_cast<int>(total)], all_bits = bits + 1;
    const double mean = 0.5 * s.levels[w] / total, apart = s.differences[w] / total;
    const double variance = s.variance[w] / total, sum_variance = s.sum_variance[w] / total;
    const double hxy = entropy(all_bits, 2 * (std::log2(s.joint_counts[w]) + s.level_pairs[w]), all);
    const double hx = entropy(all_bits, std::log2(s.level_counts[w]), all);
    const double information = 1 - std::exp(-2 * (hx + hx - hxy));
    const double* inverse = s.inverse[w].at;
    const double row[26] = {s.peak[w] / all,
                            mean,
                            variance,
                            hxy,
                            apart,
                            s.difference_variance[w] / total,
                            entropy(bits, std::log2(s.difference_counts[w]), total),
                            s.levels[w] / total,
                            sum_variance,
                            entropy(bits, std::log2(s.sum_counts[w]), total),
                            s.joint_squares[w] / (all * all),
                            s.squares[w] / total,
                            apart,
                            inverse[0] / total,
                            inverse[1] / total,
                            inverse[2] / total,
                            inverse[3] / total,
                            inverse[4] / total,
                            variance == 0 ? 1 : s.covariance[w] / total / variance,
                            s.product[w] / total,
                            sum_variance,
                            s.shade[w] / total,
                            s.prominence[w] / total,
                            hx == 0 ? 0 : (hxy - hx - hx) / hx,
                            information > 0 ? std::sqrt(information) : 0,
                            correlation(w, pairs)};
    for (int f = 0; f < 26; ++f) rows_[w][f] += row[f];
    ++matrices_[w];
  }

  static double entropy(double bits, double logs, double total) {
    Spread spread;
    spread.logs = logs;
    return spread.entropy(total, bits);
  }

  double correlation(int w, std::int32_t pairs) {
    if (job_.slots[25] < 0) return 0;  // nobody asks
    const PairSums& s = sums_;
    const int kinds = s.kinds[w];
    if (kinds < 2) return job_.settings.flat_correlation;
    if (Correlation::tree(kinds, s.branches[w], s.loops[w])) return 1;
    correlation_.clear();
    for (std::int32_t p = 0; p < pairs; ++p)
      if (s.first[p][w]) correlation_.add(s.low[p][w], s.high[p][w], s.count[p][w]);
    return correlation_.value(kinds, 0);
  }

  const Job& job_;
  void (*sums_of_)(const std::uint16_t (*)[kWindows], const std::int32_t*, int, const Inverse*, std::uint16_t,
                   PairSums&) = FASTIMG_PICK(map_pairs_table).sums;
  std::vector<std::uint16_t> level_;
  Correlation correlation_;
  std::vector<Inverse> inverse_;
  double bits_[2 * kMostPairs + 1];
  PairSums sums_;
  double rows_[kWindows][26];
  int matrices_[kWindows];
};

}  // namespace

void map_pairs(const Job& job) {
  const std::int64_t blocks = (job.count + kWindows - 1) / kWindows;
  cpu::parallel_for(blocks, 128, job.threads, [&](std::int64_t begin, std::int64_t end) {
    Block block(job);
    for (std::int64_t b = begin; b < end; ++b) block.run(b * kWindows, std::min((b + 1) * kWindows, job.count));
  });
}

}  // namespace fastimg::radiomics
