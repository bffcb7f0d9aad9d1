#include "filtering/fir.hpp"

#include <vector>

#include "cpu/aligned.hpp"

namespace fastimg::filtering {
namespace {
const FirTable<float>& table_of(const float*) { return FASTIMG_PICK(float_fir); }
const FirTable<double>& table_of(const double*) { return FASTIMG_PICK(double_fir); }
}  // namespace

template <class C>
void filter(const void* in, int kind, C* out, const std::int64_t* sizes, const std::int64_t* taps, const C* wz,
            const C* wy, const C* wx, const std::int64_t* sz, const std::int64_t* sy, const std::int64_t* sx,
            int threads) {
  const FirTable<C>& table = table_of(static_cast<const C*>(nullptr));
  const auto along_z = table.load_sum[kind];
  const std::int64_t size = kSizes[kind], height = sizes[1], width = sizes[2], plane = height * width;
  const int tz = static_cast<int>(taps[0]), ty = static_cast<int>(taps[1]), tx = static_cast<int>(taps[2]);
  cpu::parallel_for(sizes[0], 1, threads, [&](std::int64_t begin, std::int64_t end) {
    const auto flat = cpu::aligned<C>(plane), wide = cpu::aligned<C>(width + tx), row = cpu::aligned<C>(width);
    std::vector<const void*> sources(tz);
    std::vector<const C*> rows(ty > tx ? ty : tx);
    for (std::int64_t k = begin; k < end; ++k) {
      for (std::int64_t j = 0; j < height; ++j) {
        for (int t = 0; t < tz; ++t) sources[t] = static_cast<const char*>(in) + (sz[k + t] * plane + j * width) * size;
        along_z(sources.data(), wz, tz, flat.get() + j * width, width);
      }
      for (std::int64_t j = 0; j < height; ++j) {
        for (int t = 0; t < ty; ++t) rows[t] = flat.get() + sy[j + t] * width;
        table.sum(rows.data(), wy, ty, row.get(), width);
        for (std::int64_t i = 0; i < width + tx - 1; ++i) wide[i] = row[sx[i]];
        for (int t = 0; t < tx; ++t) rows[t] = wide.get() + t;
        table.sum(rows.data(), wx, tx, out + k * plane + j * width, width);
      }
    }
  });
}

#define FASTIMG_FILTER(C)                                                                                     \
  template void filter<C>(const void*, int, C*, const std::int64_t*, const std::int64_t*, const C*, const C*, \
                          const C*, const std::int64_t*, const std::int64_t*, const std::int64_t*, int);
FASTIMG_FILTER(float)
FASTIMG_FILTER(double)

}  // namespace fastimg::filtering
