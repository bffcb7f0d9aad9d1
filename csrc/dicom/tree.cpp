#include "dicom/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace fastimg::dicom {
namespace {

constexpr std::size_t kDepth = 128;

// False: errno says why the folder cannot be listed.
bool list(int parent, const char* folder, std::vector<Name>& names) {
  const int descriptor = ::openat(parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return false;
  DIR* stream = ::fdopendir(descriptor);
  if (!stream) {
    ::close(descriptor);
    return false;
  }
  while (const dirent* entry = ::readdir(stream)) {
    if (!std::strcmp(entry->d_name, ".") || !std::strcmp(entry->d_name, "..")) continue;
    unsigned char type = entry->d_type;
    if (type == DT_UNKNOWN) {
      struct stat status;
      if (::fstatat(::dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISREG(status.st_mode)   ? DT_REG
               : S_ISDIR(status.st_mode) ? DT_DIR
               : S_ISLNK(status.st_mode) ? DT_LNK
                                         : DT_FIFO;
    }
    names.push_back({entry->d_name, type});
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.text < b.text; });
  return true;
}

}  // namespace

Walk::Walk(const std::string& root) : base_(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), levels_(1) {
  if (base_ < 0) throw std::system_error(errno, std::generic_category());
  if (!list(base_, ".", levels_.back().names)) {
    const int error = errno;
    ::close(base_);
    throw std::system_error(error, std::generic_category());
  }
}

Walk::~Walk() { ::close(base_); }

std::vector<Entry> Walk::next(std::size_t most) {
  std::vector<Entry> entries;
  while (!levels_.empty() && entries.size() < most) {
    Level& level = levels_.back();
    if (level.next == level.names.size()) {
      levels_.pop_back();
      continue;
    }
    const Name name = std::move(level.names[level.next++]);
    std::string path = level.prefix + name.text;
    if (name.type == DT_DIR) {
      Level deeper;
      if (levels_.size() < kDepth && list(base_, path.c_str(), deeper.names)) {
        deeper.prefix = path + "/";
        levels_.push_back(std::move(deeper));  // `level` is dangling from here on
      } else {
        entries.push_back({std::move(path), EntryKind::unreadable});
      }
      continue;
    }
    const EntryKind kind = name.type == DT_REG   ? EntryKind::file
                           : name.type == DT_LNK ? EntryKind::link
                                                 : EntryKind::special;
    entries.push_back({std::move(path), kind});
  }
  return entries;
}

}  // namespace fastimg::dicom
