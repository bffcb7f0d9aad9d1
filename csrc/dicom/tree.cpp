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

struct Name {
  std::string text;
  unsigned char type;
};

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

struct Level {
  std::string prefix;  // "" or ends in "/"
  std::vector<Name> names;
  std::size_t next = 0;
};

}  // namespace

std::vector<Entry> list_tree(const std::string& root) {
  const int base = ::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (base < 0) throw std::system_error(errno, std::generic_category());
  std::vector<Entry> entries;
  std::vector<Level> levels(1);
  if (!list(base, ".", levels.back().names)) {
    const int error = errno;
    ::close(base);
    throw std::system_error(error, std::generic_category());
  }
  while (!levels.empty()) {
    Level& level = levels.back();
    if (level.next == level.names.size()) {
      levels.pop_back();
      continue;
    }
    const Name name = std::move(level.names[level.next++]);
    std::string path = level.prefix + name.text;
    if (name.type == DT_DIR) {
      Level deeper;
      if (levels.size() < kDepth && list(base, path.c_str(), deeper.names)) {
        deeper.prefix = path + "/";
        levels.push_back(std::move(deeper));  // `level` is dangling from here on
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
  ::close(base);
  return entries;
}

}  // namespace fastimg::dicom
