// The floor of reading a series: the pixels of each file at a known place, in a known order, to float32 with one
// offset.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

extern "C" int read_series(const char* const* paths, long files, const long* offsets, long values, float add,
                           float* out) {
  auto* room = static_cast<std::uint16_t*>(std::malloc(2 * static_cast<std::size_t>(values)));
  for (long k = 0; k < files; ++k, out += values) {
    const int file = open(paths[k], O_RDONLY);
    if (file < 0 || pread(file, room, 2 * static_cast<std::size_t>(values), offsets[k]) != 2 * values) return -1;
    close(file);
    for (long i = 0; i < values; ++i) out[i] = static_cast<float>(room[i]) + add;
  }
  std::free(room);
  return 0;
}

// The floor of a scan: each header's tags walked once (explicit little endian), 18 of them noted, nothing checked or
// kept.
extern "C" long walk_headers(const char* const* paths, long files, const std::uint32_t* tags, long wanted) {
  static unsigned char head[8192];
  long found = 0;
  for (long k = 0; k < files; ++k) {
    const int file = open(paths[k], O_RDONLY);
    const long size = pread(file, head, sizeof head, 0);
    close(file);
    for (long at = 132; at + 12 <= size;) {
      const std::uint32_t tag =
          static_cast<std::uint32_t>(head[at + 1] << 8 | head[at]) << 16 | head[at + 3] << 8 | head[at + 2];
      if (tag == 0x7FE00010) break;
      for (long t = 0; t < wanted; ++t) found += tags[t] == tag;
      const bool wide = head[at + 4] == 'O' || head[at + 4] == 'U'
                            ? head[at + 5] != 'I' && head[at + 5] != 'S' && head[at + 5] != 'L'
                            : head[at + 4] == 'S' && head[at + 5] == 'Q';
      at += wide ? 12 + *reinterpret_cast<const std::uint32_t*>(head + at + 8)
                 : 8 + *reinterpret_cast<const std::uint16_t*>(head + at + 6);
    }
  }
  return found;
}
