// Files to columns: one bounded read and one tag walk a file.
#pragma once

#include <string>
#include <vector>

#include "dicom/columns.hpp"
#include "dicom/tree.hpp"

namespace fastimg::dicom {

// Entries relative to `root`, or absolute where `root` is empty. A damaged file is a row that says so.
Table scan(const std::string& root, const std::vector<Entry>& entries, int threads);

// What a scan says of a file that is held in memory.
Fact scan_bytes(const Byte* data, std::uint64_t size);

}  // namespace fastimg::dicom
