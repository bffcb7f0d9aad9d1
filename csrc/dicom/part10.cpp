#include "dicom/part10.hpp"

#include <algorithm>
#include <cstring>

namespace fastimg::dicom {
namespace {

bool letters(const Byte* p) { return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z'; }

bool starts(Source& source, std::uint64_t offset, const void* magic, std::uint64_t length) {
  const Byte* found = source.at(offset, length);
  return found && std::memcmp(found, magic, length) == 0;
}

bool is_archive(Source& source) {
  return starts(source, 0, "PK\3\4", 4) || starts(source, 0, "\x1f\x8b", 2) || starts(source, 0, "BZh", 3) ||
         starts(source, 0, "7z\xbc\xaf\x27\x1c", 6) ||
         starts(source, 0,
                "\xfd"
                "7zXZ",
                5) ||
         starts(source, 0, "Rar!\x1a\x07", 6) || starts(source, 0, "\x28\xb5\x2f\xfd", 4) ||
         starts(source, 257, "ustar", 5);
}

// A data set without preamble: the first three elements must be ordered and fit the file.
bool plausible(Source& source, std::uint64_t begin, Encoding encoding) {
  const Byte* head = source.at(begin, 8);
  if (!head) return false;
  const unsigned group = load16(head, encoding.big);
  if ((group != 0x0002 && group != 0x0008) || load16(head + 2, encoding.big) > 0x2000) return false;
  if (encoding.explicit_vr != letters(head + 4)) return false;
  Walker walker(source, begin, source.size(), encoding);
  std::uint32_t last = 0;
  for (int count = 0; count < 3; ++count) {
    if (walker.next() != Step::element) return false;
    if (walker.current().tag <= last) return false;
    last = walker.current().tag;
  }
  return true;
}

// The meta group is explicit little endian; ends at the first element of another group. False: damaged.
bool read_meta(Source& source, Preface& preface, std::uint64_t begin) {
  const Byte* first = source.at(begin, 8);
  if (first && load16(first, false) != 2) {
    preface.data_set = begin;
    return true;
  }
  const Encoding encoding{first && letters(first + 4), false};
  std::uint64_t position = begin;
  for (;;) {
    const Byte* head = source.at(position, 8);
    if (!head || load16(head, false) != 2) break;
    Walker walker(source, position, source.size(), encoding);
    if (walker.next() != Step::element || walker.current().length == kUndefined) return false;
    const Element element = walker.current();
    if (element.tag == tag(0x0002, 0x0010)) {
      const std::uint64_t length = std::min<std::uint64_t>(element.length, sizeof preface.transfer_syntax - 1);
      const Byte* value = source.at(element.offset, length);
      if (!value) return false;
      std::memcpy(preface.transfer_syntax, value, length);
      preface.transfer_syntax[length] = 0;
      for (std::uint64_t i = length; i-- && (preface.transfer_syntax[i] == ' ' || !preface.transfer_syntax[i]);)
        preface.transfer_syntax[i] = 0;
    }
    position = element.offset + element.length;
  }
  preface.data_set = position;
  return true;
}

void guess(Source& source, Preface& preface) {
  const std::string_view syntax = preface.transfer_syntax;
  preface.deflated = syntax == kDeflated;
  preface.encoding.big = syntax == kExplicitBig;
  preface.encoding.explicit_vr = syntax != kImplicitLittle;
  if (preface.deflated) return;
  const Byte* head = source.at(preface.data_set, 8);
  if (!head) return;
  // What the bytes say outweighs what the header says: some writers name the wrong syntax.
  preface.encoding.explicit_vr = letters(head + 4);
  const unsigned little = load16(head, false), big = load16(head, true);
  if (syntax.empty()) preface.encoding.big = little > big;
}

}  // namespace

bool is_native(const char* syntax) {
  const std::string_view s = syntax;
  return s.empty() || s == kImplicitLittle || s == kExplicitLittle || s == kDeflated || s == kExplicitBig;
}

Preface read_preface(Source& source) {
  Preface preface;
  std::uint64_t begin = 0;
  if (starts(source, 128, "DICM", 4)) {
    begin = 132;
  } else if (starts(source, 0, "DICM", 4)) {
    begin = 4;  // a preamble was stripped, its mark was not
  } else {
    const bool found = plausible(source, 0, {true, false}) || plausible(source, 0, {false, false}) ||
                       plausible(source, 0, {true, true});
    if (!found) {
      preface.kind = is_archive(source) ? FileKind::archive : FileKind::stranger;
      return preface;
    }
  }
  preface.kind = FileKind::dicom;
  if (!read_meta(source, preface, begin)) {
    preface.kind = FileKind::damaged;
    preface.problem = "the file's meta group cannot be walked";
    return preface;
  }
  guess(source, preface);
  return preface;
}

}  // namespace fastimg::dicom
