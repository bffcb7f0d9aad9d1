// Everything that reads bytes of a stranger, on one input: preface and tag walk, functional groups, offset tables and
// fragments, RLE, inflate. With libFuzzer: clang++ -fsanitize=fuzzer,address,undefined; without: link driver.cpp.
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "cpu/pool.hpp"
#include "dicom/fragments.hpp"
#include "dicom/groups.hpp"
#include "dicom/inflate.hpp"
#include "dicom/part10.hpp"
#include "dicom/rle.hpp"
#include "dicom/scan.hpp"

using namespace fastimg;
using namespace fastimg::dicom;

namespace {

void serial(std::int64_t count, std::int64_t grain, int, cpu::Body body, void* context) {
  for (std::int64_t begin = 0; begin < count; begin += grain)
    body(context, begin, begin + grain < count ? begin + grain : count);
}
const cpu::Api api{cpu::kApiVersion, serial, [] { return cpu::Level::baseline; }, [] { return 1; }};

void whole_file(const Byte* data, std::size_t size) {
  const Fact fact = scan_bytes(data, size);
  Source source(data, size);
  const Preface preface = read_preface(source);
  if (preface.kind != FileKind::dicom || preface.deflated) return;
  std::vector<Byte> value;
  std::uint16_t vr = 0;
  for (const auto& path :
       {std::vector<std::uint32_t>{0x00283000, 0x00283002}, {0x00281101}, {kSharedGroups, kPixelMeasures, 0x00280030}})
    find_value(source, preface.data_set, preface.encoding, path, 1 << 16, &value, &vr);
  try {
    read_groups(source, preface.data_set, preface.encoding);
  } catch (const std::runtime_error&) {
  }
  if (fact.pixel_offset < 0 || fact.pixel_length >= 0) return;
  const auto offset = static_cast<std::uint64_t>(fact.pixel_offset);
  for (const std::uint64_t frames : {1, 2, 30}) {
    try {
      for (const auto& frame : frame_spans(source, offset, preface.encoding.big, frames, {0, 100}, {8, 50})) {
        std::vector<Byte> bytes, out(4096 + 16), room;
        for (const Span& span : frame)
          if (const Byte* at = source.at(span.offset, span.length)) bytes.insert(bytes.end(), at, at + span.length);
        rle_frame(bytes.data(), bytes.size(), 1024, 1, 2, out.data(), room);
      }
    } catch (const std::runtime_error&) {
    }
  }
}

void parts(const Byte* data, std::size_t size) {
  std::vector<Byte> out;
  inflate(data, size, out, 1 << 20);
  std::vector<Byte> room;
  for (const unsigned samples : {1u, 3u})
    for (const unsigned width : {1u, 2u, 4u}) {
      std::vector<Byte> pixels(500 * samples * width);  // exact: a byte too many is caught
      rle_frame(data, size, 500, samples, width, pixels.data(), room);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cpu::imported = &api;
  whole_file(data, size);
  parts(data, size);
  return 0;
}
