// A volume in one Zarr v3 shard file: inner chunks in C order, then an index of (offset, size) for each, then the
// CRC-32C of the index. https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cohort/codec.hpp"

namespace fastimg::cohort {

using Shape = std::vector<std::int64_t>;

struct Layout {
  Shape shape, chunks;  // equal lengths, all positive
  Codec codec;
  Shape grid() const;  // chunks along each axis
  std::int64_t count() const;
  std::size_t chunk_bytes() const;
};

struct Written {
  std::uint64_t size;
  std::uint32_t crc;        // of the whole file
  std::uint32_t index_crc;  // of the index
  // of the chunks' own CRCs, one after another: the file's tells nothing of their bytes, as that over data and its CRC
  // depends on the length alone
  std::uint32_t chunks_crc;
};

// Writes the C-contiguous array to `fd`. Holds at most about 8 MB of chunks at a time, whatever the threads; the bytes
// do not depend on the threads. Throws std::system_error where a write fails.
Written write_shard(int fd, const Layout& layout, const std::uint8_t* array, int threads);

class Shard {
 public:
  // Opens the file and checks its size and its index; throws Damaged, or std::system_error where it cannot be opened.
  Shard(const std::string& path, Layout layout, std::uint64_t size, std::uint32_t index_crc);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // The region [start, stop) into a C-contiguous `out`. Every chunk that it touches is read and checked whole.
  void read(const Shape& start, const Shape& stop, std::uint8_t* out, int threads) const;

  const Layout& layout() const { return layout_; }

 private:
  // Where the bytes of chunks that follow chunk `number` in the file without a gap end; of at most `most` chunks.
  std::uint64_t run_end(std::size_t number, std::int64_t most) const;

  Layout layout_;
  int fd_;
  std::vector<std::uint64_t> index_;
};

}  // namespace fastimg::cohort
