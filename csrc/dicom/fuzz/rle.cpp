// One RLE frame, for several shapes of its pixels.
#include <cstdint>
#include <vector>

#include "dicom/rle.hpp"

using namespace fastimg::dicom;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<Byte> room;
  for (const unsigned samples : {1u, 3u})
    for (const unsigned width : {1u, 2u, 4u}) {
      std::vector<Byte> pixels(500 * samples * width);  // exact: a byte too many is caught
      rle_frame(data, size, 500, samples, width, pixels.data(), room);
    }
  return 0;
}
