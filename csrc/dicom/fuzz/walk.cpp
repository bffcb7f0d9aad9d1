// A file's header: preface, tag walk, columns, values by a path of tags, functional groups.
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "dicom/fuzz/serial.hpp"
#include "dicom/groups.hpp"
#include "dicom/part10.hpp"
#include "dicom/scan.hpp"

using namespace fastimg;
using namespace fastimg::dicom;

namespace {

void whole_file(const Byte* data, std::size_t size) {
  scan_bytes(data, size);
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
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cpu::imported = &cpu::serial_api;
  whole_file(data, size);
  return 0;
}
