// A raw DEFLATE stream, to its end and to a limit within it.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "dicom/inflate.hpp"

using namespace fastimg::dicom;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<Byte> all, some;
  inflate(data, size, all, 1 << 14);
  inflate(data, size, some, all.size() / 2);
  if (some.size() > all.size() || all.size() > (1 << 14) + 258 || all.size() > 1032 * size + 1032) std::abort();
  return 0;
}
