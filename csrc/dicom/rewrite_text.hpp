// Small questions about ASCII texts, as Python answers them.
#pragma once

#include <algorithm>
#include <string_view>

#include "dicom/bytes.hpp"
#include "dicom/walk.hpp"

namespace fastimg::dicom {

constexpr std::string_view kStandard = "1.2.840.10008.";  // UIDs that DICOM itself defines

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool capitals(const Byte* p) { return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z'; }
inline bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}
inline std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  return text;
}

// Bytes that \d+(\.\d+){3,} takes at `at`; 0 where it does not match there.
inline std::size_t uid_length(std::string_view text, std::size_t at) {
  const auto digits = [&](std::size_t from) {
    while (from < text.size() && is_digit(text[from])) ++from;
    return from;
  };
  std::size_t end = digits(at);
  if (end == at) return 0;
  int groups = 0;
  while (end < text.size() && text[end] == '.') {
    const std::size_t further = digits(end + 1);
    if (further == end + 1) break;
    end = further;
    ++groups;
  }
  return groups >= 3 ? end - at : 0;
}

}  // namespace fastimg::dicom
