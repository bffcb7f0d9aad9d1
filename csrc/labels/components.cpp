#include "labels/components.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::labels {
namespace {

constexpr std::int64_t kSlab = 16;

struct Run {
  std::int32_t begin, end;
};

// The runs of a slab, row after row; row r's are runs[rows[r]] to runs[rows[r + 1]].
struct Slab {
  std::vector<Run> runs;
  std::vector<std::int64_t> rows;
  std::int64_t offset = 0;  // of its first run among all
};

std::int64_t root(std::int64_t* parent, std::int64_t a) {
  while (parent[a] != a) {
    parent[a] = parent[parent[a]];
    a = parent[a];
  }
  return a;
}

void join(std::int64_t* parent, std::int64_t a, std::int64_t b) {
  a = root(parent, a);
  b = root(parent, b);
  if (a < b)
    parent[b] = a;
  else
    parent[a] = b;
}

void find_runs(const unsigned char* row, std::int64_t width, std::vector<Run>& runs) {
  const auto* const end = row + width;
  const unsigned char* at = row;
  while (at < end) {
    while (end - at >= 8) {  // eight empty voxels at once
      std::uint64_t word;
      std::memcpy(&word, at, 8);
      if (word) break;
      at += 8;
    }
    while (at < end && !*at) ++at;
    if (at == end) break;
    const auto* const begin = at;
    while (at < end && *at) ++at;
    runs.push_back({static_cast<std::int32_t>(begin - row), static_cast<std::int32_t>(at - row)});
  }
}

// Joins the runs of two rows that touch; `reach` 1: also where only their corners do.
void join_rows(std::int64_t* parent, const Slab& a, std::int64_t row_a, const Slab& b, std::int64_t row_b, int reach) {
  std::int64_t i = a.rows[row_a], j = b.rows[row_b];
  const std::int64_t i_end = a.rows[row_a + 1], j_end = b.rows[row_b + 1];
  while (i < i_end && j < j_end) {
    const Run p = a.runs[i], q = b.runs[j];
    if (p.begin < q.end + reach && q.begin < p.end + reach) join(parent, a.offset + i, b.offset + j);
    if (p.end < q.end)
      ++i;
    else
      ++j;
  }
}

// A row with its neighbours in the plane before: rows y - 1, y, y + 1 as the connectivity allows.
void join_planes(std::int64_t* parent, const Slab& here, std::int64_t row, const Slab& before, std::int64_t below,
                 std::int64_t j, std::int64_t height, int connectivity) {
  join_rows(parent, here, row, before, below, connectivity >= 18);
  if (connectivity == 6) return;
  if (j > 0) join_rows(parent, here, row, before, below - 1, connectivity == 26);
  if (j + 1 < height) join_rows(parent, here, row, before, below + 1, connectivity == 26);
}

}  // namespace

std::int64_t components(const unsigned char* mask, std::int32_t* out, std::int64_t z, std::int64_t y, std::int64_t x,
                        int connectivity, int threads) {
  const std::int64_t count = (z + kSlab - 1) / kSlab;
  std::vector<Slab> slabs(count);
  cpu::parallel_for(count, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const std::int64_t first = s * kSlab * y, last = std::min((s + 1) * kSlab, z) * y;
      slabs[s].rows.push_back(0);
      for (std::int64_t row = first; row < last; ++row) {
        find_runs(mask + row * x, x, slabs[s].runs);
        slabs[s].rows.push_back(static_cast<std::int64_t>(slabs[s].runs.size()));
      }
    }
  });
  std::int64_t total = 0;
  for (Slab& slab : slabs) {
    slab.offset = total;
    total += static_cast<std::int64_t>(slab.runs.size());
  }
  std::vector<std::int64_t> parents(total);
  std::int64_t* const parent = parents.data();
  cpu::parallel_for(count, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const Slab& slab = slabs[s];
      for (std::int64_t n = 0; n < static_cast<std::int64_t>(slab.runs.size()); ++n)
        parent[slab.offset + n] = slab.offset + n;
      const std::int64_t rows = static_cast<std::int64_t>(slab.rows.size()) - 1;
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t j = row % y;
        if (j > 0) join_rows(parent, slab, row, slab, row - 1, connectivity >= 18);
        if (row >= y) join_planes(parent, slab, row, slab, row - y, j, y, connectivity);
      }
    }
  });
  for (std::int64_t s = 1; s < count; ++s)
    for (std::int64_t j = 0; j < y; ++j)
      join_planes(parent, slabs[s], j, slabs[s - 1], (kSlab - 1) * y + j, j, y, connectivity);
  std::int64_t found = 0;  // roots are first runs: numbered in the order of the first voxel
  std::vector<std::int32_t> names(total);
  for (std::int64_t n = 0; n < total; ++n) {
    const std::int64_t r = root(parent, n);
    if (r == n && ++found > INT32_MAX) throw std::length_error("labels: more components than int32 can number");
    names[n] = r == n ? static_cast<std::int32_t>(found) : names[r];
  }
  cpu::parallel_for(count, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const Slab& slab = slabs[s];
      for (std::int64_t row = 0; row + 1 < static_cast<std::int64_t>(slab.rows.size()); ++row) {
        std::int32_t* const target = out + (s * kSlab * y + row) * x;
        std::fill_n(target, x, 0);
        for (std::int64_t n = slab.rows[row]; n < slab.rows[row + 1]; ++n)
          std::fill(target + slab.runs[n].begin, target + slab.runs[n].end, names[slab.offset + n]);
      }
    }
  });
  return found;
}

}  // namespace fastimg::labels
