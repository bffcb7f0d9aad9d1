// All files below a folder, in order of their names, without following links.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fastimg::dicom {

enum class EntryKind : std::uint8_t { file, link, special, unreadable };

struct Entry {
  std::string path;  // relative to the root
  EntryKind kind;
};

struct Name {
  std::string text;
  unsigned char type;
};

// Sorted within each folder by bytes; a folder's entries stand where its name does. Folders nested deeper than 128 and
// folders that the system refuses to list are `unreadable` entries. Throws std::system_error where the root itself is.
// What is held is the names of the folders from the root to where it stands.
class Walk {
 public:
  explicit Walk(const std::string& root);
  ~Walk();
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;
  std::vector<Entry> next(std::size_t most);  // none: the end

 private:
  struct Level {
    std::string prefix;  // "" or ends in "/"
    std::vector<Name> names;
    std::size_t next = 0;
  };
  int base_;
  std::vector<Level> levels_;
};

}  // namespace fastimg::dicom
