#include "dicom/values.hpp"

#include <charconv>
#include <cmath>

namespace fastimg::dicom {

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  return text;
}

namespace {

// Up to 15 digits and a point, as almost all values are: the whole number and the power of ten are exact, so that one
// division gives the nearest double. False: not of this form.
bool plain_decimal(std::string_view text, double* out) {
  static constexpr double kTens[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const bool negative = text.front() == '-';
  std::size_t at = negative, digits = 0, after = 0;
  if (text.size() - at > 16) return false;
  std::int64_t whole = 0;
  bool point = false;
  for (; at < text.size(); ++at) {
    const auto digit = static_cast<unsigned>(text[at] - '0');
    if (digit < 10) {
      whole = whole * 10 + digit;
      ++digits;
      after += point;
    } else if (text[at] == '.' && !point) {
      point = true;
    } else {
      return false;
    }
  }
  if (digits == 0 || digits > 15) return false;
  const double value = static_cast<double>(whole) / kTens[after];
  *out = negative ? -value : value;
  return true;
}

int decimal(std::string_view text, double* out, int room) {
  int count = 0;
  while (count < room) {
    const std::size_t bar = text.find('\\');
    std::string_view part = trimmed(text.substr(0, bar));
    if (part.empty()) {
      if (bar == std::string_view::npos && count == 0) return 0;
      out[count++] = std::nan("");
    } else {
      if (part.front() == '+') part.remove_prefix(1);
      double value = 0;
      if (!part.empty() && plain_decimal(part, &value)) {
        out[count++] = value;
        if (bar == std::string_view::npos) break;
        text.remove_prefix(bar + 1);
        continue;
      }
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
      if (error != std::errc() || end != part.data() + part.size()) return -1;
      out[count++] = value;
    }
    if (bar == std::string_view::npos) break;
    text.remove_prefix(bar + 1);
  }
  return count;
}

}  // namespace

int numbers(const Byte* value, std::uint32_t length, std::uint16_t v, std::uint16_t fallback, bool big, double* out,
            int room) {
  if (v == 0 || v == vr('U', 'N')) v = fallback;
  const auto each = [&](std::uint32_t size, auto load) {
    int count = 0;
    for (std::uint32_t at = 0; at + size <= length && count < room; at += size) out[count++] = load(value + at);
    return count;
  };
  switch (v) {
    case vr('U', 'S'):
      return each(2, [&](const Byte* p) { return static_cast<double>(load16(p, big)); });
    case vr('S', 'S'):
      return each(2, [&](const Byte* p) { return static_cast<double>(static_cast<std::int16_t>(load16(p, big))); });
    case vr('U', 'L'):
      return each(4, [&](const Byte* p) { return static_cast<double>(load32(p, big)); });
    case vr('S', 'L'):
      return each(4, [&](const Byte* p) { return static_cast<double>(static_cast<std::int32_t>(load32(p, big))); });
    case vr('F', 'L'):
      return each(4, [&](const Byte* p) {
        const std::uint32_t bits = load32(p, big);
        float number;
        std::memcpy(&number, &bits, 4);
        return static_cast<double>(number);
      });
    case vr('F', 'D'):
      return each(8, [&](const Byte* p) {
        const std::uint64_t bits = load64(p, big);
        double number;
        std::memcpy(&number, &bits, 8);
        return number;
      });
    default:
      return decimal(std::string_view(reinterpret_cast<const char*>(value), length), out, room);
  }
}

}  // namespace fastimg::dicom
