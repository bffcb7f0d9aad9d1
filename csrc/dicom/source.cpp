#include "dicom/source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>

#include <algorithm>

namespace fastimg::dicom {

bool File::open(int folder, const char* name) {
  close();
  // O_NONBLOCK: a pipe in the tree must not hold us up; it has no effect on regular files.
  descriptor_ = ::openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor_ < 0) return false;
  struct stat status;
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    close();
    errno = EINVAL;
    return false;
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  return true;
}

void File::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  size_ = 0;
}

bool File::read(std::uint64_t offset, Byte* to, std::uint64_t length) const {
  if (!within(offset, length, size_)) return false;
  while (length) {
    const ssize_t got = ::pread(descriptor_, to, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    offset += static_cast<std::uint64_t>(got);
    length -= static_cast<std::uint64_t>(got);
  }
  return true;
}

const Byte* Source::move_window(std::uint64_t offset, std::uint64_t length) {
  if (!file_ || !within(offset, length, size_)) return nullptr;
  std::uint64_t end = offset + std::max<std::uint64_t>(length, window_);
  if (end / kPage * kPage >= offset + length) end = end / kPage * kPage;
  const std::uint64_t wanted = std::min(end, size_) - offset;
  window_ = std::max(window_, kWindow);  // the first guess was too small
  if (room_->size() < wanted) room_->resize(std::max<std::uint64_t>(wanted, kLargest));
  if (!file_->read(offset, room_->data(), wanted)) {
    start_ = end_ = 0;
    return nullptr;
  }
  data_ = room_->data();
  start_ = offset;
  end_ = offset + wanted;
  return data_;
}

}  // namespace fastimg::dicom
