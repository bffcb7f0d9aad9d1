#include "dicom/rle.hpp"

#include <cstring>

namespace fastimg::dicom {
namespace {

// PackBits; true when exactly `room` bytes (or more, cut) were produced.
bool unpack(const Byte* in, const Byte* end, Byte* out, std::uint64_t room) {
  Byte* const stop = out + room;
  while (out < stop && in < end) {
    const unsigned head = *in++;
    const auto left = static_cast<std::uint64_t>(stop - out);
    if (head < 128) {
      std::uint64_t run = head + 1;
      if (static_cast<std::uint64_t>(end - in) < run) run = static_cast<std::uint64_t>(end - in);
      if (run > left) run = left;
      // Short runs are the rule: copy 16 bytes at once where both sides have them.
      if (run <= 16 && end - in >= 16 && left >= 16)
        std::memcpy(out, in, 16);
      else
        std::memcpy(out, in, run);
      in += run;
      out += run;
    } else if (head > 128) {
      if (in == end) return false;
      std::uint64_t run = 257 - head;
      if (run > left) run = left;
      if (run <= 16 && left >= 16)
        std::memset(out, *in++, 16);
      else
        std::memset(out, *in++, run);
      out += run;
    }
  }
  return out == stop;
}

void merge16(const Byte* high, const Byte* low, std::uint64_t pixels, Byte* out) {
  for (std::uint64_t i = 0; i < pixels; ++i) {
    const auto value = static_cast<std::uint16_t>(high[i] << 8 | low[i]);
    std::memcpy(out + 2 * i, &value, 2);
  }
}

}  // namespace

const char* rle_frame(const Byte* in, std::uint64_t size, std::uint64_t pixels, unsigned samples, unsigned sample_bytes,
                      Byte* out, std::vector<Byte>& planes) {
  if (size < 64) return "an RLE frame is shorter than its header";
  const std::uint32_t segments = load32(in, false);
  if (segments != samples * sample_bytes || segments > 15)
    return "an RLE frame has another number of segments than its pixels need";
  std::uint32_t offsets[16];
  for (unsigned s = 0; s < segments; ++s) {
    offsets[s] = load32(in + 4 + 4 * s, false);
    if (offsets[s] < 64 || offsets[s] > size || (s && offsets[s] < offsets[s - 1]))
      return "an RLE segment lies outside its frame";
  }
  offsets[segments] = static_cast<std::uint32_t>(size < 0xFFFFFFFFu ? size : 0xFFFFFFFFu);
  constexpr const char* kShort = "an RLE segment ends before its plane is full";
  if (segments == 1) return unpack(in + offsets[0], in + offsets[1], out, pixels) ? nullptr : kShort;
  const std::uint64_t wanted = pixels * sample_bytes;
  if (planes.size() < wanted) planes.resize(wanted);
  for (unsigned sample = 0; sample < samples; ++sample) {
    for (unsigned b = 0; b < sample_bytes; ++b) {  // most significant first
      const unsigned s = sample * sample_bytes + b;
      if (!unpack(in + offsets[s], in + offsets[s + 1], planes.data() + b * pixels, pixels)) return kShort;
    }
    if (samples == 1 && sample_bytes == 2) {
      merge16(planes.data(), planes.data() + pixels, pixels, out);
    } else {
      for (unsigned b = 0; b < sample_bytes; ++b) {
        const Byte* plane = planes.data() + (sample_bytes - 1 - b) * pixels;
        Byte* to = out + sample * sample_bytes + b;
        const std::uint64_t step = static_cast<std::uint64_t>(samples) * sample_bytes;
        for (std::uint64_t i = 0; i < pixels; ++i) to[i * step] = plane[i];
      }
    }
  }
  return nullptr;
}

}  // namespace fastimg::dicom
