#include "filtering/recursive.hpp"

#include "cpu/aligned.hpp"

namespace fastimg::filtering {

template <class T>
void recursive(const T* in, float* out, const Recursive& filter, std::int64_t outer, std::int64_t length,
               std::int64_t inner, std::int64_t first, std::int64_t kept, int threads) {
  const RecursiveTable& table = FASTIMG_PICK(recursive_lines);
  const std::int64_t count = outer * inner, blocks = (count + kLines - 1) / kLines;
  cpu::parallel_for(blocks, 16, threads, [&](std::int64_t begin, std::int64_t end) {
    const auto values = cpu::aligned<double>(length * kLines), seen = cpu::aligned<double>(length * kLines);
    for (std::int64_t block = begin; block < end; ++block) {
      // Lines block * 16 ... of (outer, inner); those past the end repeat the last.
      std::int64_t start[kLines], target[kLines];
      bool together = true;
      for (int l = 0; l < kLines; ++l) {
        const std::int64_t raw = block * kLines + l, line = raw < count ? raw : count - 1;
        start[l] = (line / inner) * length * inner + line % inner;
        target[l] = (line / inner) * kept * inner + line % inner;
        together = together && start[l] == start[0] + l;
      }
      for (std::int64_t i = 0; i < length; ++i) {
        double* row = values.get() + i * kLines;
        const T* from = in + i * inner;
        if (together)
          for (int l = 0; l < kLines; ++l) row[l] = static_cast<double>(from[start[0] + l]);
        else
          for (int l = 0; l < kLines; ++l) row[l] = static_cast<double>(from[start[l]]);
      }
      table.lines(filter, values.get(), seen.get(), length);
      const int own = static_cast<int>(count - block * kLines < kLines ? count - block * kLines : kLines);
      for (std::int64_t i = 0; i < kept; ++i) {
        const double* row = seen.get() + (first + i) * kLines;
        float* to = out + i * inner;
        if (together)
          for (int l = 0; l < own; ++l) to[target[0] + l] = static_cast<float>(row[l]);
        else
          for (int l = 0; l < own; ++l) to[target[l]] = static_cast<float>(row[l]);
      }
    }
  });
}

#define FASTIMG_RECURSIVE(T)                                                                               \
  template void recursive<T>(const T*, float*, const Recursive&, std::int64_t, std::int64_t, std::int64_t, \
                             std::int64_t, std::int64_t, int);
FASTIMG_RECURSIVE(float)
FASTIMG_RECURSIVE(double)

}  // namespace fastimg::filtering
