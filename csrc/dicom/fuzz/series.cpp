// Frames into a volume: the first bytes describe three frames, the rest is the file that they lie in.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "dicom/decode.hpp"
#include "dicom/fuzz/serial.hpp"

using namespace fastimg;
using namespace fastimg::dicom;

namespace {

constexpr std::size_t kEach = 12, kHead = 3 * kEach;

struct Scratch {
  Scratch() {
    const char* folder = ::access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
    path = std::string(folder) + "/fastimg-fuzz-XXXXXX";
    descriptor = ::mkstemp(path.data());
    if (descriptor < 0) std::abort();
  }
  ~Scratch() { ::unlink(path.c_str()); }
  std::string path;
  int descriptor;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cpu::imported = &cpu::serial_api;
  if (size < kHead) return 0;
  static Scratch file;
  const auto length = static_cast<ssize_t>(size - kHead);
  if (::ftruncate(file.descriptor, 0) || ::pwrite(file.descriptor, data + kHead, size - kHead, 0) != length)
    std::abort();
  const std::uint64_t rows = 1 + data[0] % 40, columns = 1 + data[1] % 40;
  const std::uint32_t samples = data[2] % 4 == 3 ? 3 : 1;
  std::vector<Frame> frames(3);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint8_t* say = data + i * kEach;
    Frame& frame = frames[i];
    frame.path = file.path;
    frame.layout.pixels = rows * columns;
    frame.layout.columns = static_cast<std::uint32_t>(columns);
    frame.layout.samples = samples;
    frame.layout.packing = static_cast<Packing>(say[3] % 5);
    frame.layout.type = static_cast<Type>(say[4] % 10);
    if (frame.layout.packing == Packing::bits) frame.layout.type = Type::u8;
    if (frame.layout.packing == Packing::ybr422) {
      if (samples != 3) return 0;
      frame.layout.type = Type::u8;
    }
    frame.layout.planar = say[5] & 1;
    frame.layout.swap = say[5] & 2;
    frame.layout.swap_pairs = say[5] & 4 && size_of(frame.layout.type) == 1;
    frame.index = say[6] % 3;
    frame.offset = say[7];
    frame.length = say[5] & 8 ? ~std::uint64_t{0} : std::uint64_t{say[8]} * 64;
    frame.deflated_at = say[5] & 16 ? 1 + say[9] % 8 : 0;
    if (say[5] & 32) frame.spans = {{say[10], say[11]}, {say[7], say[8]}};
    if (size_of(frame.layout.type) <= 4 && static_cast<int>(frame.layout.type) < 6)
      frame.rescale.left = frame.rescale.right = say[9] % 8;
    frame.rescale.slope = say[5] & 64 ? 0.5 : 2;
    frame.rescale.intercept = -1024;
    frame.slice = i;
  }
  std::vector<float> volume(3 * rows * columns * samples);  // exact: a voxel too many is caught
  decode(frames, volume.data(), Type::f32, 1);
  return 0;
}
