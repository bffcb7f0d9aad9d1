// Encapsulated pixel data: offset tables and fragments, from the first item on.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "dicom/fragments.hpp"

using namespace fastimg::dicom;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Source source(data, size);
  const std::vector<std::uint64_t> numbers = {0, 100, size, ~std::uint64_t{0}, std::uint64_t{1} << 63};
  for (const std::uint64_t frames : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{30}, ~std::uint64_t{0}})
    for (const bool extended : {false, true}) {
      try {
        const auto found =
            frame_spans(source, 0, size % 2 != 0, frames, extended ? numbers : std::vector<std::uint64_t>(),
                        extended ? std::vector<std::uint64_t>(5, size / 2) : std::vector<std::uint64_t>());
        for (const auto& frame : found)
          for (const Span& span : frame)
            if (!within(span.offset, span.length, size)) std::abort();  // every span lies within the file
      } catch (const std::runtime_error&) {
      }
    }
  return 0;
}
