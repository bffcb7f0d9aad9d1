// Included once in each level's region: no include guard, no standard header.
namespace fastimg::filtering::FASTIMG_LEVEL {
namespace {

// Terms are added in ITK's order (itkRecursiveSeparableImageFilter.hxx), so that rounding is the same.
void step(const double* w, const double* a, const double* b, const double* c, const double* d, const double* v,
          const double* p, const double* q, const double* r, const double* s, double* __restrict out) {
  for (int l = 0; l < kLines; ++l)
    out[l] = (((a[l] * w[0] + b[l] * w[1]) + c[l] * w[2]) + d[l] * w[3]) -
             (((p[l] * v[0] + q[l] * v[1]) + r[l] * v[2]) + s[l] * v[3]);
}

void lines(const Recursive& f, const double* in, double* out, std::int64_t n) {
  const auto x = [&](std::int64_t i) { return in + i * kLines; };
  const double* first = x(0);
  for (std::int64_t i = 0; i < 4; ++i) {
    // Terms before the start: the first value; its feedback weights are bn.
    double v[4];
    const double *p[4], *a[4];
    for (std::int64_t j = 0; j < 4; ++j) {
      a[j] = i - j >= 0 ? x(i - j) : first;
      p[j] = i - 1 - j >= 0 ? out + (i - 1 - j) * kLines : first;
      v[j] = i - 1 - j >= 0 ? f.d[j] : f.bn[j];
    }
    step(f.n, a[0], a[1], a[2], a[3], v, p[0], p[1], p[2], p[3], out + i * kLines);
  }
  for (std::int64_t i = 4; i < n; ++i) {
    double* o = out + i * kLines;
    step(f.n, x(i), x(i - 1), x(i - 2), x(i - 3), f.d, o - kLines, o - 2 * kLines, o - 3 * kLines, o - 4 * kLines, o);
  }
  // The backward half keeps its last four rows and adds itself to the forward one.
  double past[5][kLines];
  const double* last = x(n - 1);
  for (std::int64_t k = 0; k < n; ++k) {
    const std::int64_t i = n - 1 - k;
    double* now = past[k % 5];
    const double *a[4], *p[4];
    double v[4];
    for (std::int64_t j = 0; j < 4; ++j) {
      a[j] = i + 1 + j < n ? x(i + 1 + j) : last;
      p[j] = k - 1 - j >= 0 ? past[(k - 1 - j) % 5] : last;
      v[j] = k - 1 - j >= 0 ? f.d[j] : f.bm[j];
    }
    step(f.m, a[0], a[1], a[2], a[3], v, p[0], p[1], p[2], p[3], now);
    double* __restrict o = out + i * kLines;
    for (int l = 0; l < kLines; ++l) o[l] += now[l];
  }
}

}  // namespace

extern const RecursiveTable recursive_lines;
const RecursiveTable recursive_lines = {lines};

}  // namespace fastimg::filtering::FASTIMG_LEVEL
