// Frames of files straight into slices of a volume, one task a frame.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dicom/fragments.hpp"
#include "dicom/rescale.hpp"
#include "dicom/source.hpp"

namespace fastimg::dicom {

enum class Packing : std::int32_t {
  native,
  bits,
  rle,
  ybr422,
  jpeg_lossless
};  // bits: 1 bit allocated; ybr422: native, two pixels share colour

// How one frame's pixels are stored.
struct Layout {
  std::uint64_t pixels = 0;  // rows * columns
  std::uint32_t columns = 0;
  std::uint32_t samples = 1;
  Type type = Type::u16;  // of a stored sample
  Packing packing = Packing::native;
  bool planar = false;      // all of one sample, then all of the next (native only)
  bool swap = false;        // big endian
  bool swap_pairs = false;  // 8-bit samples in big-endian 16-bit words
};

struct Frame {
  std::string path;
  Layout layout;
  std::uint64_t index = 0;        // among the file's frames
  std::uint64_t offset = 0;       // of the pixel data's value in the file, or in the inflated data set
  std::uint64_t length = 0;       // of native pixel data
  std::uint64_t deflated_at = 0;  // offset of a deflated data set, 0: not deflated
  std::uint64_t frames = 1;       // in the file
  std::vector<Span> spans;        // of an encapsulated frame, if known; else the file holds one frame
  Rescale rescale;
  std::uint64_t slice = 0;  // where it goes
};

struct Failure {
  std::uint64_t frame;  // index in the list
  std::string message;
};

// Decodes frames[i] into out + slice * pixels * samples values of `to`. Failures come back, in order; nothing is thrown
// for a bad file, and a failed slice's bytes are undefined.
std::vector<Failure> decode(const std::vector<Frame>& frames, void* out, Type to, int threads);

// Reads an encapsulated frame, its fragments end to end, to where `room(bytes)` says. Throws std::runtime_error.
void frame_bytes(const Frame& frame, const std::function<Byte*(std::uint64_t)>& room);

constexpr std::uint64_t kCached = 32 << 20;  // a larger volume leaves the caches before anyone reads it again

}  // namespace fastimg::dicom
