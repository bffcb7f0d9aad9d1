// Lossless JPEG: for the size that its own header names, alone and in turns with itself; all levels give one answer.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "dicom/fuzz/serial.hpp"
#include "dicom/jpeg_lossless.hpp"

using namespace fastimg;
using namespace fastimg::dicom;

namespace {

using Values = std::vector<std::uint16_t>;

bool alone(const Byte* data, std::size_t size, std::uint32_t rows, std::uint32_t columns, std::uint32_t samples,
           Values& out) {
  static const auto decoder = std::make_unique<JpegLossless>();
  out.clear();
  if (decoder->open(data, size, rows, columns, samples)) return false;
  JpegLossless::Rows part;
  while (out.size() < std::size_t{rows} * columns * samples && decoder->next(part)) {
    if (part.first != out.size()) std::abort();
    out.insert(out.end(), part.values, part.values + part.count);
  }
  return !decoder->problem();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cpu::imported = &cpu::serial_api;
  for (std::size_t at = 0; at + 10 <= size; ++at) {
    if (data[at] != 0xFF || data[at + 1] != 0xC3) continue;
    const auto rows = static_cast<std::uint32_t>(data[at + 5] << 8 | data[at + 6]),
               columns = static_cast<std::uint32_t>(data[at + 7] << 8 | data[at + 8]), samples = data[at + 9] & 3u;
    if (std::uint64_t{rows} * columns > 1 << 18) return 0;
    Values first, second;
    cpu::level_now = cpu::Level::baseline;
    const bool good = alone(data, size, rows, columns, samples, first);
#ifdef FASTIMG_X86
    const bool able[] = {__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"),
                         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd")};
    for (int level = 0; level < 2; ++level) {
      if (!able[level]) break;
      cpu::level_now = static_cast<cpu::Level>(level + 1);
      if (alone(data, size, rows, columns, samples, second) != good || (good && first != second)) std::abort();
    }
#endif
    if (samples != 1) return 0;
    static const auto many = std::make_unique<JpegLossless[]>(3);
    JpegLossless* turns[3];
    int n = 0;
    for (int i = 0; i < 3; ++i)
      if (!many[i].open(data, i == 1 ? size - size / 8 : size, rows, columns, samples)) turns[n++] = &many[i];
    if (n < 2 || !turns[0]->fits(*turns[1])) return 0;
    JpegLossless::Rows parts[3];
    bool alive[3] = {true, true, true}, more = true;
    Values together;
    while (more) {
      JpegLossless::next(turns, n, parts, alive);
      more = false;
      for (int i = 0; i < n; ++i) more |= alive[i];
      if (alive[0]) together.insert(together.end(), parts[0].values, parts[0].values + parts[0].count);
    }
    if (!turns[0]->problem() != good || (good && together != first)) std::abort();
    return 0;
  }
  return 0;
}
