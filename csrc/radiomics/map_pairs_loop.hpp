// The loops of map_pairs.hpp, compiled once a level: vectors of 64 bytes, which the compiler cuts to what there is.
// After map_correlation_loop.hpp.
namespace fastimg::radiomics::FASTIMG_LEVEL {
namespace {

typedef std::uint16_t Words __attribute__((vector_size(2 * kWindows)));
typedef std::uint16_t EightWords __attribute__((vector_size(16)));
typedef std::int32_t EightInts __attribute__((vector_size(32)));

template <class V, class T>
static inline __attribute__((always_inline)) V load(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class V, class T>
static inline __attribute__((always_inline)) void store(T* to, V v) {
  std::memcpy(to, &v, sizeof v);
}
static inline __attribute__((always_inline)) Eight eight(const std::uint16_t* from) {
  return __builtin_convertvector(__builtin_convertvector(load<EightWords>(from), EightInts), Eight);
}

static inline __attribute__((always_inline)) Eight eight(const Words* words, int p, int g) {
  return eight(reinterpret_cast<const std::uint16_t*>(words + p) + g);
}

// How many keys are equal to each; all ones in `first` at the first of them.
static inline __attribute__((always_inline)) void count_equal(const Words* keys, int n, Words* count, Words* first) {
  for (int p = 0; p < n; ++p) count[p] = Words{} + 1;
  for (int p = 0; p < n; ++p) {
    const Words key = keys[p];
    Words own = count[p];
    if (first) first[p] = (Words)(own == 1);
    for (int q = p + 1; q < n; ++q) {
      const Words equal = (Words)(keys[q] == key);
      own -= equal;
      count[q] -= equal;
    }
    count[p] = own;
  }
}

static inline __attribute__((always_inline)) void multiply(const Words* count, int n, double* product) {
  for (int g = 0; g < kWindows; g += 8) {
    Eight all = Eight{} + 1;
    for (int p = 0; p < n; ++p) all *= eight(count, p, g);
    store(product + g, all);
  }
}

// Sums around the means of eight windows from g on.
static inline __attribute__((always_inline)) void moments(const Words* left, const Words* right, const Words* whole,
                                                          int n, int g, PairSums& s) {
  Eight total = {}, differences = {}, squares = {}, product = {}, levels = {};
  for (int p = 0; p < n; ++p) {  // a pair that is not whole has levels 0
    const Eight i = eight(left, p, g), j = eight(right, p, g), d = i < j ? j - i : i - j;
    total += eight(whole, p, g);
    differences += d;
    squares += d * d;
    product += i * j;
    levels += i + j;
  }
  const Eight some = total > 0.0 ? total : Eight{} + 1;
  const Eight mean = 0.5 * levels / some, apart = differences / some;
  Eight variance = {}, covariance = {}, sum_variance = {}, shade = {}, prominence = {}, difference_variance = {};
  for (int p = 0; p < n; ++p) {
    const Eight i = eight(left, p, g), j = eight(right, p, g), w = eight(whole, p, g);
    const Eight x = w * (i - mean), y = w * (j - mean), both = x + y, two = both * both;
    const Eight away = w * ((i < j ? j - i : i - j) - apart);
    variance += x * x + y * y;
    covariance += x * y;
    sum_variance += two;
    shade += two * both;
    prominence += two * two;
    difference_variance += away * away;
  }
  store(s.total + g, total);
  store(s.differences + g, differences);
  store(s.squares + g, squares);
  store(s.product + g, product);
  store(s.levels + g, levels);
  store(s.variance + g, 0.5 * variance);
  store(s.covariance + g, covariance);
  store(s.sum_variance + g, sum_variance);
  store(s.shade + g, shade);
  store(s.prominence + g, prominence);
  store(s.difference_variance + g, difference_variance);
}

void sums(const std::uint16_t (*level)[kWindows], const std::int32_t* pairs, int n, const Inverse* inverse,
          std::uint16_t none, PairSums& s) {
  Words left[kMostPairs], right[kMostPairs], whole[kMostPairs];
  Words joint[kMostPairs], sum[kMostPairs], difference[kMostPairs], ends[2 * kMostPairs];
  std::uint16_t row[kMostPairs][kWindows];
  for (int p = 0; p < n; ++p) {
    const Words i = load<Words>(level[pairs[2 * p]]), j = load<Words>(level[pairs[2 * p + 1]]);
    const Words valid = (Words)(i != 0) & (Words)(j != 0);
    const Words low = i < j ? i : j, high = i < j ? j : i, apart = high - low;
    // A pair that is not whole has keys of its own, above all others.
    const Words own = Words{} + static_cast<std::uint16_t>(65535 - p);
    left[p] = i & valid;
    right[p] = j & valid;
    whole[p] = valid & 1;
    joint[p] = valid ? low << 8 | high : own;
    sum[p] = valid ? i + j : own;
    difference[p] = valid ? apart : own;
    ends[p] = valid ? i : own;
    ends[n + p] = valid ? j : own - static_cast<std::uint16_t>(kMostPairs);
    store(s.low[p], low);
    store(s.high[p], high);
    store(row[p], valid ? apart : Words{} + none);
  }
  Words count[2 * kMostPairs], first[2 * kMostPairs];
  count_equal(joint, n, count, first);
  multiply(count, n, s.joint_counts);
  Words squares = {}, peak = {}, level_pairs = {}, branches = {}, loops = {};
  for (int p = 0; p < n; ++p) {
    const Words valid = -whole[p], level_pair = (Words)(difference[p] == 0);
    const Words cell = valid & (level_pair ? count[p] << 1 : count[p]);
    squares += cell << 1;  // a cell of two levels stands on both sides, one of one level counts each pair twice
    peak = cell > peak ? cell : peak;
    level_pairs -= level_pair;
    loops -= first[p] & level_pair;
    branches -= first[p] & ~level_pair & valid;
    store(s.count[p], cell);
    store(s.first[p], first[p] & valid);
  }
  store(s.joint_squares, squares);
  store(s.peak, peak);
  store(s.level_pairs, level_pairs);
  store(s.branches, branches);
  store(s.loops, loops);
  count_equal(sum, n, count, nullptr);
  multiply(count, n, s.sum_counts);
  count_equal(difference, n, count, nullptr);
  multiply(count, n, s.difference_counts);
  count_equal(ends, 2 * n, count, first);
  multiply(count, 2 * n, s.level_counts);
  Words kinds = {};
  for (int p = 0; p < 2 * n; ++p) kinds -= first[p] & -whole[p < n ? p : p - n];
  store(s.kinds, kinds);
  for (int g = 0; g < kWindows; g += 8) moments(left, right, whole, n, g, s);
  for (int w = 0; w < kWindows; ++w) {
    Eight all = {};
    for (int p = 0; p < n; ++p) all += load<Eight>(inverse[row[p][w]].at);
    store(s.inverse[w].at, all);
  }
}

}  // namespace

extern const PairTable map_pairs_table;
const PairTable map_pairs_table = {sums, correlations};

}  // namespace fastimg::radiomics::FASTIMG_LEVEL
