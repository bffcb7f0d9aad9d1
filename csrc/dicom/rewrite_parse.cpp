// The first pass of a rewrite: the file as a list of nodes, and the bytes by which its patient is known.
#include <cstring>

#include "dicom/rewrite.hpp"
#include "dicom/rewrite_text.hpp"

namespace fastimg::dicom {
namespace {

constexpr std::uint32_t kCharset = tag(0x0008, 0x0005), kPixelSign = tag(0x0028, 0x0103);

// 0: no VR of the standard; else the bytes of an explicit header.
int header_bytes(std::uint16_t v) {
  switch (v) {
    case vr('A', 'E'):
    case vr('A', 'S'):
    case vr('A', 'T'):
    case vr('C', 'S'):
    case vr('D', 'A'):
    case vr('D', 'S'):
    case vr('D', 'T'):
    case vr('F', 'D'):
    case vr('F', 'L'):
    case vr('I', 'S'):
    case vr('L', 'O'):
    case vr('L', 'T'):
    case vr('P', 'N'):
    case vr('S', 'H'):
    case vr('S', 'L'):
    case vr('S', 'S'):
    case vr('S', 'T'):
    case vr('T', 'M'):
    case vr('U', 'I'):
    case vr('U', 'L'):
    case vr('U', 'S'):
      return 8;
    default:
      return is_long(v) ? 12 : 0;
  }
}

}  // namespace

bool Rewriter::meta(std::uint64_t& position) {
  if (!within(128, 4, size_) || std::memcmp(data_ + 128, "DICM", 4) != 0) return false;
  position = 132;
  class_uid_ = syntax_ = {};
  while (within(position, 8, size_) && load16(data_ + position, false) == 2) {
    const Byte* head = data_ + position;
    if (!capitals(head + 4)) return false;
    const int bytes = header_bytes(vr(static_cast<char>(head[4]), static_cast<char>(head[5])));
    if (!bytes || !within(position, static_cast<std::uint64_t>(bytes), size_)) return false;
    const std::uint32_t length = bytes == 8 ? load16(head + 6, false) : load32(head + 8, false);
    position += static_cast<std::uint64_t>(bytes);
    if (length == kUndefined || !within(position, length, size_)) return false;
    const std::string_view text = trimmed({reinterpret_cast<const char*>(data_ + position), length});
    if (load16(head + 2, false) == 0x0002) class_uid_ = text;
    if (load16(head + 2, false) == 0x0010) syntax_ = text;
    position += length;
  }
  const std::string_view root = "1.2.840.10008.1.2", jpeg = "1.2.840.10008.1.2.4.", rle = "1.2.840.10008.1.2.5";
  implicit_ = syntax_ == root;
  encapsulated_ = syntax_.substr(0, jpeg.size()) == jpeg || syntax_ == rle;
  if (!implicit_ && !encapsulated_ && syntax_ != "1.2.840.10008.1.2.1") return false;
  return !class_uid_.empty() && class_uid_.size() <= 64 && within(position, 8, size_) &&
         capitals(data_ + position + 4) != implicit_;
}

bool Rewriter::data_set(std::uint64_t& position, std::uint64_t end, bool undefined, int depth,
                        std::string_view charset) {
  Level level;
  level.charset = charset;
  for (bool first = true;; first = false) {
    if (position == end) return !undefined;
    if (end - position < 8) return false;
    if (load32(data_ + position, false) == 0xE00DFFFE) {  // the end of an item, as it stands in the file
      if (!undefined || load32(data_ + position + 4, false) != 0) return false;
      position += 8;
      return true;
    }
    if (first && implicit_ && capitals(data_ + position + 4)) return false;
    if (!element(position, end, depth, level)) return false;
  }
}

bool Rewriter::items(std::uint64_t& position, std::uint64_t end, bool undefined, int depth, std::string_view charset) {
  if (depth >= kLevels) return false;
  for (;;) {
    if (position == end) return !undefined;
    if (end - position < 8) return false;
    const std::uint32_t found = load32(data_ + position, false), length = load32(data_ + position + 4, false);
    position += 8;
    if (found == 0xE0DDFFFE) return undefined && length == 0;
    if (found != 0xE000FFFE) return false;
    if (length != kUndefined && !within(position, length, end)) return false;
    const std::size_t index = nodes_.size();
    nodes_.push_back({position, length, kItem, 0, 0, false, true});
    if (!data_set(position, length == kUndefined ? end : position + length, length == kUndefined, depth, charset))
      return false;
    nodes_[index].next = static_cast<std::uint32_t>(nodes_.size());
  }
}

bool Rewriter::fragments(std::uint64_t& position, std::uint64_t end) {
  for (bool first = true;; first = false) {
    if (!within(position, 8, end)) return false;
    const std::uint32_t found = load32(data_ + position, false), length = load32(data_ + position + 4, false);
    position += 8;
    if (found == 0xE0DDFFFE) return !first && length == 0;
    if (found != 0xE000FFFE || length % 2 || !within(position, length, end)) return false;
    position += length;
  }
}

std::uint16_t Rewriter::dictionary(std::uint32_t tag, std::string_view creator) {
  if (const auto found = plan_.vrs.find(tag); found != plan_.vrs.end()) return found->second;
  std::string key(reinterpret_cast<const char*>(&tag), 4);
  key += creator;
  if (const auto found = asked_vrs_.find(key); found != asked_vrs_.end()) return found->second;
  if (asked_vrs_.size() >= kRemembered) asked_vrs_.clear();
  return asked_vrs_[key] = mind_.vr(tag, creator);
}

bool Rewriter::element(std::uint64_t& position, std::uint64_t end, int depth, Level& level) {
  const Byte* head = data_ + position;
  const std::uint32_t found = tag(load16(head, false), load16(head + 2, false)), group = found >> 16;
  if (found <= level.last || group < 8 || group == 0xFFFE || nodes_.size() > (std::size_t{1} << 26)) return false;
  level.last = found;
  const bool is_private = group & 1;
  std::string_view creator;
  if (is_private)
    for (const auto& [block, name] : level.creators)
      if (block == (found & 0xFFFFFF00) >> 8) creator = name;

  Node node{0, 0, found, 0, 0, false, false};
  if (implicit_) {
    node.length = load32(head + 4, false);
    position += 8;
  } else {
    node.vr = vr(static_cast<char>(head[4]), static_cast<char>(head[5]));
    const int bytes = header_bytes(node.vr);
    if (!bytes || !within(position, static_cast<std::uint64_t>(bytes), end)) return false;
    node.length = bytes == 8 ? load16(head + 6, false) : load32(head + 8, false);
    position += static_cast<std::uint64_t>(bytes);
  }
  node.offset = position;
  const bool undefined = node.length == kUndefined;
  if (!undefined && !within(position, node.length, end)) return false;

  if (plan_.pixels.count(found)) {
    if (undefined != (encapsulated_ && depth == 0 && found == kPixelData)) return false;
    if (undefined && !fragments(position, end)) return false;
    if (position - node.offset >= kUndefined) return false;
    node.fragments = undefined;
    if (undefined) node.length = static_cast<std::uint32_t>(position - node.offset);
    if (node.length % 2) return false;
    position = node.offset + node.length;
    node.next = static_cast<std::uint32_t>(nodes_.size() + 1);
    nodes_.push_back(node);
    return true;
  }
  if (implicit_) {
    node.vr = (found & 0xFFFF) == 0 ? vr('U', 'L') : dictionary(found, creator);
    if (is_private && node.vr) {  // known by its maker's name: as its type says
      if (node.vr == vr('S', 'Q') || node.vr == vr('P', 'N') || node.vr == vr('U', 'I')) return false;
    }
    if (undefined && is_private && within(position, 8, end) && load32(data_ + position, false) == 0xE000FFFE)
      node.vr = vr('S', 'Q');
  } else if (node.vr == vr('U', 'N')) {  // pydicom believes its dictionaries where they know the element
    const std::uint16_t known = dictionary(found, creator);
    if (!is_private && known) return false;
    if (known == vr('S', 'Q') || known == vr('P', 'N') || known == vr('U', 'I')) return false;
  }
  node.sequence = node.vr == vr('S', 'Q');
  if (undefined && !node.sequence) return false;
  const std::size_t index = nodes_.size();
  nodes_.push_back(node);
  if (node.sequence) {
    if (!items(position, undefined ? end : position + node.length, undefined, depth + 1, level.charset)) return false;
  } else {
    position += node.length;
    const std::string_view text = value(node);
    if (found == kCharset) level.charset = text;
    if (found == kPixelSign && depth == 0) signed_known_ = true;
    if (is_private && (found & 0xFFFF) >= 0x10 && (found & 0xFFFF) <= 0xFF)
      level.creators.emplace_back((group << 8 | (found & 0xFF)), trimmed(text));
    if (!identity(node, depth, level.charset)) return false;
  }
  nodes_[index].next = static_cast<std::uint32_t>(nodes_.size());
  return true;
}

// Everything from which Python's search for the patient's own values would take one.
bool Rewriter::identity(const Node& node, int depth, std::string_view charset) {
  const std::string_view text = value(node);
  const auto add = [&](std::string_view part) {
    const std::uint32_t numbers[4] = {node.tag, node.vr, static_cast<std::uint32_t>(depth),
                                      static_cast<std::uint32_t>(part.size())};
    identity_.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
    identity_.append(part);
    if (!is_ascii(part)) identity_.append(charset);
    identity_ += '\0';
  };
  if (node.vr == vr('P', 'N') || plan_.telling.count(node.tag)) add(text);
  if (node.vr != vr('U', 'I')) return true;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t stop = std::min(text.find('\\', begin), text.size());
    const std::string_view uid = trimmed(text.substr(begin, stop - begin));
    begin = stop + 1;
    if (uid.empty() || uid.substr(0, kStandard.size()) == kStandard) continue;
    if (uid_length(uid, 0) == uid.size())
      uids_.push_back(uid);
    else
      add(uid);
  }
  return identity_.size() < (std::size_t{1} << 20);
}

}  // namespace fastimg::dicom
