#include "dicom/fragments.hpp"

#include <algorithm>
#include <stdexcept>

#include "dicom/walk.hpp"

namespace fastimg::dicom {
namespace {

struct Items {
  std::vector<std::uint64_t> table;  // basic offset table
  std::vector<Span> fragments;
  std::uint64_t first = 0;  // offset of the first fragment's item tag
};

Items read_items(Source& source, std::uint64_t position, bool big) {
  Items items;
  for (bool table = true;; table = false) {
    if (!within(position, 8, source.size())) {
      if (!table && position >= source.size()) return items;  // no delimiter at the end: the frames may still be whole
      throw std::runtime_error("the encapsulated pixel data are cut off");
    }
    const Byte* head = source.at(position, 8);
    if (!head) throw std::runtime_error("the file could not be read");
    const std::uint32_t found = tag(load16(head, big), load16(head + 2, big));
    const std::uint32_t length = load32(head + 4, big);
    if (found == kSequenceEnd) {
      if (table) throw std::runtime_error("the encapsulated pixel data are empty");
      return items;
    }
    if (found != kItem || length == kUndefined) throw std::runtime_error("the encapsulated pixel data are damaged");
    const std::uint64_t value = position + 8;
    if (!within(value, length, source.size())) throw std::runtime_error("a fragment of the pixel data is cut off");
    if (table) {
      const Byte* offsets = source.at(value, length);
      if (!offsets) throw std::runtime_error("the file could not be read");
      for (std::uint32_t i = 0; i + 4 <= length; i += 4) items.table.push_back(load32(offsets + i, big));
      items.first = value + length;
    } else {
      items.fragments.push_back({value, length});
    }
    position = value + length;
  }
}

bool ends_image(Source& source, const Span& fragment) {
  const std::uint64_t tail = std::min<std::uint64_t>(fragment.length, 10);
  const Byte* end = source.at(fragment.offset + fragment.length - tail, tail);
  for (std::uint64_t i = 0; end && i + 2 <= tail; ++i)
    if (end[i] == 0xFF && end[i + 1] == 0xD9) return true;
  return false;
}

using Frames = std::vector<std::vector<Span>>;

// Frames that begin at the items with these offsets; empty where an offset names no item.
Frames by_table(const Items& items, const std::vector<std::uint64_t>& offsets) {
  Frames frames;
  std::size_t at = 0;
  for (std::size_t frame = 0; frame < offsets.size(); ++frame) {
    const std::uint64_t begin = items.first + offsets[frame];
    const std::uint64_t end = frame + 1 < offsets.size() ? items.first + offsets[frame + 1] : ~std::uint64_t{0};
    if (at >= items.fragments.size() || items.fragments[at].offset - 8 != begin) return {};
    frames.emplace_back();
    while (at < items.fragments.size() && items.fragments[at].offset - 8 < end)
      frames.back().push_back(items.fragments[at++]);
    if (frames.back().empty()) return {};
  }
  return frames;
}

}  // namespace

Frames frame_spans(Source& source, std::uint64_t pixel_offset, bool big, std::uint64_t count,
                   const std::vector<std::uint64_t>& extended_offsets,
                   const std::vector<std::uint64_t>& extended_lengths) {
  const Items items = read_items(source, pixel_offset, big);
  const std::vector<Span>& fragments = items.fragments;
  if (fragments.empty()) throw std::runtime_error("the encapsulated pixel data hold no fragment");
  if (!extended_offsets.empty() && extended_offsets.size() == extended_lengths.size()) {
    // Each extended offset names one item, which holds the whole frame (PS3.3 C.7.6.3.1.8); lengths drop the padding.
    Frames frames;
    for (std::size_t i = 0; i < extended_offsets.size(); ++i) {
      const std::uint64_t begin = items.first + extended_offsets[i] + 8;
      const auto found = std::lower_bound(fragments.begin(), fragments.end(), begin,
                                          [](const Span& s, std::uint64_t offset) { return s.offset < offset; });
      if (found == fragments.end() || found->offset != begin || extended_lengths[i] > found->length) {
        frames.clear();
        break;
      }
      frames.push_back({{begin, extended_lengths[i]}});
    }
    if (!frames.empty() && frames.size() >= count) return frames;
  }
  if (!items.table.empty()) {
    Frames frames = by_table(items, items.table);
    if (!frames.empty() && frames.size() >= count) return frames;
  }
  Frames frames;
  if (count <= 1) {
    frames.push_back(fragments);
  } else if (fragments.size() == count) {
    for (const Span& fragment : fragments) frames.push_back({fragment});
  } else if (fragments.size() > count) {
    frames.emplace_back();
    for (const Span& fragment : fragments) {
      frames.back().push_back(fragment);
      if (ends_image(source, fragment)) frames.emplace_back();
    }
    if (frames.back().empty()) frames.pop_back();
  }
  if (frames.size() < count) throw std::runtime_error("the pixel data hold fewer frames than the header says");
  return frames;
}

}  // namespace fastimg::dicom
