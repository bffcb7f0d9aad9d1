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

constexpr int kGroup = 16;

class Block {
 public:
  explicit Block(const Job& job)
      : job_(job),
        level_(job.window.cells * kWindows),
        inverse_(inverses(job.settings.levels)),
        rows_(kGroup * kWindows),
        found_(kGroup * kWindows * job.window.offsets) {
    inverse_.push_back({});
    for (int i = 0; i <= 2 * kMostPairs; ++i) bits_[i] = i ? std::log2(i) : 0;
  }

  // Windows [begin, end), at most kGroup * kWindows: eigenvalues are taken of eight matrices at once, when enough wait.
  void run(std::int64_t begin, std::int64_t end) {
    for (std::int64_t from = begin; from < end; from += kWindows)
      block(from, std::min<std::int64_t>(from + kWindows, end), static_cast<int>(from - begin));
    correlations_.flush();
    const std::int64_t offsets = job_.window.offsets;
    for (std::int64_t c = begin; c < end; ++c) {
      Row& row = rows_[c - begin];
      const double* found = found_.data() + (c - begin) * offsets;
      row.at[25] = 0;
      for (std::int64_t k = 0; k < offsets; ++k) row.at[25] += found[k];
      for (double& value : row.at) value = row.matrices ? value / row.matrices : std::nan("");
      job_.put(c, row.at);
    }
  }

 private:
  struct Row {
    double at[26];
    int matrices;
  };

  // Windows [begin, end), at most kWindows; rows from the place on.
  void block(std::int64_t begin, std::int64_t end, int place) {
    const Window& window = job_.window;
    const auto count = static_cast<int>(end - begin);
    const std::int64_t* centres = job_.centres + begin;
    for (std::int64_t cell = 0; cell < window.cells; ++cell)
      for (int w = 0; w < kWindows; ++w)
        level_[cell * kWindows + w] = job_.levels[centres[w < count ? w : 0] + window.places[cell]];
    Row* rows = rows_.data() + place;
    double* found = found_.data() + place * window.offsets;
    std::fill(rows, rows + count, Row{});
    std::fill(found, found + count * window.offsets, 0.0);
    for (std::int64_t k = 0; k < window.offsets; ++k) {
      const std::int32_t from = window.pair_begins[k], pairs = window.pair_begins[k + 1] - from;
      table_.sums(reinterpret_cast<const std::uint16_t (*)[kWindows]>(level_.data()), window.pairs + 2 * from, pairs,
                  inverse_.data(), static_cast<std::uint16_t>(inverse_.size() - 1), sums_);
      for (int w = 0; w < count; ++w)
        if (sums_.total[w] > 0) {
          add(w, rows[w]);
          if (job_.slots[25] >= 0) correlation(w, pairs, found + w * window.offsets + k);
        }
    }
  }

  // The features of a window's matrix of one direction.
  void add(int w, Row& sum) {
    const PairSums& s = sums_;
    const double* inverse = s.inverse[w].at;
    const GlcmSums of = {s.total[w],
                         s.differences[w],
                         s.squares[w],
                         s.product[w],
                         s.levels[w],
                         s.variance[w],
                         s.covariance[w],
                         s.sum_variance[w],
                         s.shade[w],
                         s.prominence[w],
                         s.difference_variance[w],
                         {inverse[0], inverse[1], inverse[2], inverse[3], inverse[4]},
                         std::log2(s.joint_counts[w]),
                         std::log2(s.sum_counts[w]),
                         std::log2(s.difference_counts[w]),
                         std::log2(s.level_counts[w]),
                         static_cast<double>(s.joint_squares[w]),
                         static_cast<double>(s.peak[w]),
                         static_cast<double>(s.level_pairs[w])};
    double row[25];
    glcm_row(of, bits_[static_cast<int>(of.total)], row);
    for (int f = 0; f < 25; ++f) sum.at[f] += row[f];
    ++sum.matrices;
  }

  void correlation(int w, std::int32_t pairs, double* found) {
    const PairSums& s = sums_;
    const int kinds = s.kinds[w];
    if (kinds < 2) {
      *found = job_.settings.flat_correlation;
    } else if (Correlation::tree(kinds, s.branches[w], s.loops[w])) {
      *found = 1;
    } else {
      correlations_.begin();
      for (std::int32_t p = 0; p < pairs; ++p)
        if (s.first[p][w]) correlations_.add(s.low[p][w], s.high[p][w], s.count[p][w]);
      correlations_.end(2 * s.total[w], found);
    }
  }

  const Job& job_;
  const PairTable& table_ = FASTIMG_PICK(map_pairs_table);
  std::vector<std::uint16_t> level_;
  Correlations correlations_{table_.correlations};
  std::vector<Inverse> inverse_;
  double bits_[2 * kMostPairs + 1];
  PairSums sums_;
  std::vector<Row> rows_;
  std::vector<double> found_;  // correlation of each window and direction
};

}  // namespace

void map_pairs(const Job& job) {
  constexpr std::int64_t kTogether = kGroup * kWindows;
  cpu::parallel_for((job.count + kTogether - 1) / kTogether, 8, job.threads, [&](std::int64_t begin, std::int64_t end) {
    Block block(job);
    for (std::int64_t b = begin; b < end; ++b) block.run(b * kTogether, std::min((b + 1) * kTogether, job.count));
  });
}

}  // namespace fastimg::radiomics
