// Where a file's data set begins and how it is encoded (PS3.10 chapter 7), with the lapses that real files show.
#pragma once

#include <string>

#include "dicom/source.hpp"
#include "dicom/walk.hpp"

namespace fastimg::dicom {

enum class FileKind { dicom, stranger, archive, damaged };

struct Preface {
  FileKind kind = FileKind::stranger;
  Encoding encoding;
  bool deflated = false;
  std::uint64_t data_set = 0;     // offset of the first element after the meta group
  char transfer_syntax[72] = "";  // empty where the file does not say
  const char* problem = "";
};

Preface read_preface(Source& source);

constexpr const char* kImplicitLittle = "1.2.840.10008.1.2";
constexpr const char* kExplicitLittle = "1.2.840.10008.1.2.1";
constexpr const char* kDeflated = "1.2.840.10008.1.2.1.99";
constexpr const char* kExplicitBig = "1.2.840.10008.1.2.2";
constexpr const char* kRle = "1.2.840.10008.1.2.5";

bool is_native(const char* transfer_syntax);

}  // namespace fastimg::dicom
