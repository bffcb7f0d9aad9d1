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
  bool same = true;
  for (int t = 0; t < nz && same; ++t)
    for (int u = 0; u < ny; ++u)
      for (int v = 0; v < nx; ++v) same = (at(t, u, v) == first) & same;
  if (same) return first;
  T seen[kSeen];
  int kept = 0;
  T best = first;
  double most = -1;
  for (int t = 0; t < nz; ++t)
    for (int u = 0; u < ny; ++u)
      for (int v = 0; v < nx; ++v) {
        const T label = at(t, u, v);
        bool known = false;
        for (int s = 0; s < kept; ++s) known = known || seen[s] == label;
        if (!known && kept == kSeen) {
          const int here = (t * ny + u) * nx + v;
          int m = 0;
          for (int a = 0; a <= t; ++a)
            for (int b = 0; b < ny; ++b)
              for (int c = 0; c < nx; ++c, ++m) known = known || (m < here && at(a, b, c) == label);
        }
        if (known) continue;
        if (kept < kSeen) seen[kept++] = label;
        double total = 0;
        for (int a = 0; a < nz; ++a)
          for (int b = 0; b < ny; ++b)
            for (int c = 0; c < nx; ++c)
              if (at(a, b, c) == label) total = total + weight(a, b, c);
        if (total > most) most = total, best = label;
      }
  return best;
}

}  // namespace fastimg
