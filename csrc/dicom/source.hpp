// Bytes by offset: a file read through one small window, or a block of memory.
//
// Most headers end within the first 4 to 16 KB, so that a scan costs one pread a file; a step beyond the window costs
// another. Windows end on pages, whose number is what a pread of cached data costs. No request reaches past the end, so
// that nothing is allocated for a length that the file cannot hold.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dicom/bytes.hpp"

namespace fastimg::dicom {

// An open regular file; symbolic links are not followed.
class File {
 public:
  File() = default;
  explicit File(const std::string& path) { open(-100 /* AT_FDCWD */, path.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(); }

  bool open(int folder, const char* name);  // false: errno says why; a non-regular file is EINVAL
  void close();
  bool is_open() const { return descriptor_ >= 0; }
  std::uint64_t size() const { return size_; }
  // Reads exactly `length` bytes; false where the file is shorter or the system refuses.
  bool read(std::uint64_t offset, Byte* to, std::uint64_t length) const;

 private:
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

class Source {
 public:
  static constexpr std::uint32_t kPage = 4 * 1024, kWindow = 8 * 1024, kLargest = 16 * 1024;

  // `room` is reused from file to file. `window`: bytes of the first read, where the caller has an idea.
  Source(const File& file, std::vector<Byte>& room, std::uint32_t window = kWindow)
      : file_(&file), room_(&room), size_(file.size()), window_(window) {}
  Source(const Byte* data, std::uint64_t size) : data_(data), end_(size), size_(size) {}

  std::uint64_t size() const { return size_; }

  // `length` bytes at `offset`, valid until the next call; null where the source ends before.
  const Byte* at(std::uint64_t offset, std::uint64_t length) {
    if (offset >= start_ && within(offset - start_, length, end_ - start_)) return data_ + (offset - start_);
    return move_window(offset, length);
  }

 private:
  const Byte* move_window(std::uint64_t offset, std::uint64_t length);

  const File* file_ = nullptr;
  std::vector<Byte>* room_ = nullptr;
  const Byte* data_ = nullptr;
  std::uint64_t start_ = 0, end_ = 0;  // of the window, as offsets in the source
  std::uint64_t size_ = 0;
  std::uint32_t window_ = kWindow;
};

}  // namespace fastimg::dicom
