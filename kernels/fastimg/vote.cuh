// The label with the most weight among the samples beside a point: each sample votes with its interpolation weight
// (the argmax of the interpolated one-hot volumes, without making them). Ties go to the label met first along z, y, x.
//
// No list of labels is kept but the few seen so far; beyond them the samples before are looked through again. Cost: one
// comparison a sample where all agree, else labels x samples.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

constexpr int kSeen = 8;

// at(t, u, v): the sample of tap (t, u, v) along z, y, x; weight(t, u, v): its weight.
template <class T, class At, class Weight>
FASTIMG_ATOM T vote(int nz, int ny, int nx, At at, Weight weight) {
  const T first = at(0, 0, 0);
  const int plane = ny * nx, count = nz * plane;
  int n = 1;
  while (n < count && at(n / plane, n / nx % ny, n % nx) == first) ++n;
  if (n == count) return first;
  T seen[kSeen];
  int kept = 0;
  T best = first;
  double most = -1;
  for (n = 0; n < count; ++n) {
    const T label = at(n / plane, n / nx % ny, n % nx);
    bool known = false;
    for (int s = 0; s < kept; ++s) known = known || seen[s] == label;
    for (int m = 0; !known && kept == kSeen && m < n; ++m) known = at(m / plane, m / nx % ny, m % nx) == label;
    if (known) continue;
    if (kept < kSeen) seen[kept++] = label;
    double total = 0;
    for (int m = n; m < count; ++m)
      if (at(m / plane, m / nx % ny, m % nx) == label) total = total + weight(m / plane, m / nx % ny, m % nx);
    if (total > most) most = total, best = label;
  }
  return best;
}

}  // namespace fastimg
