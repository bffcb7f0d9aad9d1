#include "cohort/shard.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "cohort/crc32c.hpp"
#include "cohort/flush.hpp"
#include "cpu/aligned.hpp"
#include "cpu/pool.hpp"

namespace fastimg::cohort {
namespace {

constexpr std::uint64_t kAbsent = ~std::uint64_t{0};
constexpr std::size_t kBatch = std::size_t{8} << 20;  // bytes of chunks encoded before they are written

[[noreturn]] void fail() { throw std::system_error(errno, std::generic_category()); }

void write_all(int fd, const std::uint8_t* data, std::size_t size) {
  while (size) {
    const ssize_t done = ::write(fd, data, size);
    if (done < 0) {
      if (errno == EINTR) continue;
      fail();
    }
    data += done;
    size -= static_cast<std::size_t>(done);
  }
}

bool read_all(int fd, std::uint8_t* data, std::size_t size, std::uint64_t offset) {
  while (size) {
    const ssize_t done = ::pread(fd, data, size, static_cast<off_t>(offset));
    if (done < 0) {
      if (errno == EINTR) continue;
      fail();
    }
    if (done == 0) return false;
    data += done;
    size -= static_cast<std::size_t>(done);
    offset += static_cast<std::uint64_t>(done);
  }
  return true;
}

// Copies a box of bytes: `outer` are all axes but the last, whose run is `run` bytes; strides in bytes.
void copy_box(const std::uint8_t* from, const Shape& from_stride, std::uint8_t* to, const Shape& to_stride,
              const Shape& extent, std::size_t run) {
  const std::size_t outer = extent.size() - 1;
  Shape at(outer, 0);
  for (;;) {
    std::memcpy(to, from, run);
    std::size_t axis = outer;
    for (;;) {
      if (axis == 0) return;
      --axis;
      from += from_stride[axis];
      to += to_stride[axis];
      if (++at[axis] < extent[axis]) break;
      from -= from_stride[axis] * extent[axis];
      to -= to_stride[axis] * extent[axis];
      at[axis] = 0;
    }
  }
}

Shape strides(const Shape& shape, std::int64_t item) {
  Shape out(shape.size());
  for (std::size_t k = shape.size(); k-- > 0; item *= shape[k]) out[k] = item;
  return out;
}

// The index along each axis of cell `number` of a grid.
void unravel(std::int64_t number, const Shape& grid, Shape& place) {
  for (std::size_t k = grid.size(); k-- > 0; number /= grid[k]) place[k] = number % grid[k];
}

}  // namespace

Shape Layout::grid() const {
  Shape out(shape.size());
  for (std::size_t k = 0; k < shape.size(); ++k) out[k] = (shape[k] + chunks[k] - 1) / chunks[k];
  return out;
}

std::int64_t Layout::count() const {
  std::int64_t out = 1;
  for (const std::int64_t n : grid()) out *= n;
  return out;
}

std::size_t Layout::chunk_bytes() const {
  std::size_t out = codec.size;
  for (const std::int64_t n : chunks) out *= static_cast<std::size_t>(n);
  return out;
}

Written write_shard(int fd, const Layout& layout, const std::uint8_t* array, int threads) {
  const Shape grid = layout.grid();
  const std::int64_t count = layout.count();
  const std::size_t bytes = layout.chunk_bytes(), rank = grid.size();
  const auto item = static_cast<std::int64_t>(layout.codec.size);
  const Shape from_stride = strides(layout.shape, item), to_stride = strides(layout.chunks, item);
  const std::int64_t batch = std::max<std::int64_t>(1, static_cast<std::int64_t>(kBatch / bytes));
  std::vector<std::vector<std::uint8_t>> encoded(static_cast<std::size_t>(std::min(batch, count)));
  std::vector<std::uint64_t> index(2 * static_cast<std::size_t>(count));
  Written written{0, 0, 0, 0};
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t now = std::min(batch, count - first);
    cpu::parallel_for(now, 1, threads, [&](std::int64_t begin, std::int64_t end) {
      thread_local std::vector<std::uint8_t> block;
      if (block.size() < bytes) block.resize(bytes);
      Shape place(rank), extent(rank);
      for (std::int64_t n = begin; n < end; ++n) {
        unravel(first + n, grid, place);
        const std::uint8_t* from = array;
        bool full = true;
        for (std::size_t k = 0; k < rank; ++k) {
          const std::int64_t low = place[k] * layout.chunks[k];
          extent[k] = std::min(layout.chunks[k], layout.shape[k] - low);
          full = full && extent[k] == layout.chunks[k];
          from += low * from_stride[k];
        }
        if (!full) std::memset(block.data(), 0, bytes);
        copy_box(from, from_stride, block.data(), to_stride, extent, static_cast<std::size_t>(extent.back() * item));
        auto& out = encoded[static_cast<std::size_t>(n)];
        out.clear();
        encode_chunk(layout.codec, block.data(), bytes, out);
      }
    });
    for (std::int64_t n = 0; n < now; ++n) {
      const auto& chunk = encoded[static_cast<std::size_t>(n)];
      index[2 * static_cast<std::size_t>(first + n)] = written.size;
      index[2 * static_cast<std::size_t>(first + n) + 1] = chunk.size();
      write_all(fd, chunk.data(), chunk.size());
      written.crc = crc32c(chunk.data(), chunk.size(), written.crc);
      written.chunks_crc = crc32c(chunk.data() + chunk.size() - 4, 4, written.chunks_crc);
      written.size += chunk.size();
    }
    begin_flush(fd);
  }
  std::vector<std::uint8_t> tail(8 * index.size() + 4);
  std::memcpy(tail.data(), index.data(), tail.size() - 4);  // little-endian, as this machine is (bitshuffle_loop.hpp)
  written.index_crc = crc32c(tail.data(), tail.size() - 4);
  std::memcpy(tail.data() + tail.size() - 4, &written.index_crc, 4);
  write_all(fd, tail.data(), tail.size());
  written.crc = crc32c(tail.data(), tail.size(), written.crc);
  written.size += tail.size();
  return written;
}

Shard::Shard(const std::string& path, Layout layout, std::uint64_t size, std::uint32_t index_crc)
    : layout_(std::move(layout)) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) {
    if (errno == ENOENT) throw Damaged("its voxels are missing");
    fail();
  }
  try {
    struct stat info;
    if (::fstat(fd_, &info) != 0) fail();
    const std::uint64_t entries = 2 * static_cast<std::uint64_t>(layout_.count());
    if (static_cast<std::uint64_t>(info.st_size) != size)
      throw Damaged("its voxels take " + std::to_string(info.st_size) + " bytes, the manifest says " +
                    std::to_string(size));
    if (size < 8 * entries + 4) throw Damaged("its voxels are cut short");
    std::vector<std::uint8_t> tail(8 * entries + 4);
    std::uint32_t check;
    const bool there = read_all(fd_, tail.data(), tail.size(), size - tail.size());
    std::memcpy(&check, tail.data() + tail.size() - 4, 4);
    if (!there || check != index_crc || crc32c(tail.data(), tail.size() - 4) != check)
      throw Damaged("the index of its chunks differs from its checksum");
    index_.resize(entries);
    std::memcpy(index_.data(), tail.data(), 8 * entries);
    for (std::uint64_t k = 0; k < entries; k += 2)
      if (index_[k] != kAbsent && (index_[k] > size || index_[k + 1] > size - index_[k]))
        throw Damaged("the index of its chunks points outside the file");
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

Shard::~Shard() { ::close(fd_); }

void Shard::read(const Shape& start, const Shape& stop, std::uint8_t* out, int threads) const {
  const std::size_t rank = start.size(), bytes = layout_.chunk_bytes();
  const auto item = static_cast<std::int64_t>(layout_.codec.size);
  const Shape grid = layout_.grid(), chunk_stride = strides(layout_.chunks, item);
  Shape first(rank), cells(rank), wanted(rank);
  std::int64_t count = 1;
  for (std::size_t k = 0; k < rank; ++k) {
    wanted[k] = stop[k] - start[k];
    first[k] = start[k] / layout_.chunks[k];
    cells[k] = (stop[k] + layout_.chunks[k] - 1) / layout_.chunks[k] - first[k];
    count *= cells[k];
  }
  const Shape out_stride = strides(wanted, item);
  // bytes of a chunk's slice: what lies between two steps along the third axis from the end
  const std::size_t slice = rank > 2 ? static_cast<std::size_t>(chunk_stride[rank - 3]) : bytes;
  const std::int64_t row = cells.back();
  // a row of chunks along the last axis at a time: they lie one after another in the file
  cpu::parallel_for(count / row, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    thread_local std::vector<std::uint8_t> stored, block;
    if (block.size() < bytes) block.resize(bytes);
    Shape place(rank), extent(rank);
    std::uint64_t held = 0, held_end = 0;  // of the file, in `stored`
    for (std::int64_t n = begin * row; n < end * row; ++n) {
      unravel(n, cells, place);
      std::int64_t number = 0;
      const std::uint8_t* from = block.data();
      std::uint8_t* to = out;
      for (std::size_t k = 0; k < rank; ++k) {
        const std::int64_t cell = first[k] + place[k], corner = cell * layout_.chunks[k];
        number = number * grid[k] + cell;
        const std::int64_t low = std::max(corner, start[k]);
        extent[k] = std::min(corner + layout_.chunks[k], stop[k]) - low;
        from += (low - corner) * chunk_stride[k];
        to += (low - start[k]) * out_stride[k];
      }
      const std::uint64_t offset = index_[2 * static_cast<std::size_t>(number)];
      const std::uint64_t size = index_[2 * static_cast<std::size_t>(number) + 1];
      if (offset == kAbsent) throw Damaged("chunk " + std::to_string(number) + " is missing");
      if (offset < held || offset + size > held_end) {
        held = offset;
        held_end = run_end(static_cast<std::size_t>(number), row - place.back());
        if (stored.size() < held_end - held) stored.resize(held_end - held);
        if (!read_all(fd_, stored.data(), held_end - held, held)) throw Damaged("its voxels are cut short");
      }
      std::size_t last = static_cast<std::size_t>(extent.back() * item);
      for (std::size_t k = 0; k + 1 < rank; ++k) last += static_cast<std::size_t>((extent[k] - 1) * chunk_stride[k]);
      const auto low = static_cast<std::size_t>(from - block.data());
      Wanted part{low, low + last, slice, 0, slice};
      if (rank > 2) {
        const auto line = static_cast<std::size_t>(chunk_stride[rank - 2]);
        part.low = low % slice / line * line;
        part.high = std::min(slice, part.low + static_cast<std::size_t>(extent[rank - 2]) * line);
      }
      decode_chunk(layout_.codec, stored.data() + (offset - held), size, block.data(), bytes, part);
      copy_box(from, chunk_stride, to, out_stride, extent, static_cast<std::size_t>(extent.back() * item));
    }
  });
}

std::uint64_t Shard::run_end(std::size_t number, std::int64_t most) const {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 19;  // stays in a core's own cache
  const std::uint64_t begin = index_[2 * number];
  std::uint64_t end = begin + index_[2 * number + 1];
  for (std::int64_t k = 1; k < most; ++k) {
    const std::uint64_t offset = index_[2 * (number + static_cast<std::size_t>(k))],
                        size = index_[2 * (number + static_cast<std::size_t>(k)) + 1];
    if (offset != end || end + size - begin > kMost) break;
    end += size;
  }
  return end;
}

}  // namespace fastimg::cohort
