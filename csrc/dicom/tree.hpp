// All files below a folder, in order of their names, without following links.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fastimg::dicom {

enum class EntryKind : std::uint8_t { file, link, special, unreadable };

struct Entry {
  std::string path;  // relative to the root
  EntryKind kind;
};

// Sorted within each folder by bytes; a folder's entries stand where its name does. Folders nested deeper than 128 and
// folders that the system refuses to list are `unreadable` entries. Throws std::system_error where the root itself is.
std::vector<Entry> list_tree(const std::string& root);

}  // namespace fastimg::dicom
