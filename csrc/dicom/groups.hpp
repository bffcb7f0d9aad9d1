// The functional groups of an enhanced multi-frame object (PS3.3 C.7.6.16) as columns, one row a frame.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dicom/source.hpp"
#include "dicom/walk.hpp"

namespace fastimg::dicom {

// Numbers by frame, NaN where absent; a shared value stands in every row.
struct Groups {
  std::uint64_t frames = 0;
  std::vector<double> position;                        // 3 a frame
  std::vector<double> orientation;                     // 6 a frame
  std::vector<double> spacing;                         // 2 a frame
  std::vector<double> numbers;                         // kNumbers a frame
  std::vector<std::string> types;                      // frame type, or the optical path of a slide's tile; raw
  std::vector<std::string> stacks;                     // stack id
  std::vector<std::vector<std::uint32_t>> dimensions;  // dimension index values
};
enum GroupNumber : int {
  kThickness,
  kSlope,
  kIntercept,
  kEchoTime,
  kBValue,
  kTemporalIndex,
  kInStack,
  kSegment,
  kInversionTime,
  kTimeOffset,
  kTriggerDelay,
  kCardiacPhase,
  kSlideRow,
  kSlideColumn,
  kSlideDepth,
  kNumbers
};

// Throws std::runtime_error where the data set cannot be walked. Memory is a multiple of the file's own item count.
Groups read_groups(Source& source, std::uint64_t data_set, Encoding encoding);

// The value of the first element at a path of tags (sequences, then the element; first items), at most `limit` bytes.
// False where there is none. `vr` is the file's, 0 where it does not say.
bool find_value(Source& source, std::uint64_t data_set, Encoding encoding, const std::vector<std::uint32_t>& path,
                std::uint64_t limit, std::vector<Byte>* value, std::uint16_t* vr);

}  // namespace fastimg::dicom
