// The second pass of a rewrite: each node is kept, emptied, replaced or dropped, and written with its right length.
#include "dicom/rewrite.hpp"

#include <cstring>

#include "dicom/rewrite_text.hpp"

namespace fastimg::dicom {
namespace {

constexpr std::uint32_t kCharset = tag(0x0008, 0x0005), kInstance = tag(0x0008, 0x0018), kAge = tag(0x0010, 0x1010);
constexpr std::size_t kBorrow = 4096;  // bytes from which a value is not copied twice

void put16(std::string& out, std::uint32_t v) {
  out += static_cast<char>(v & 0xFF);
  out += static_cast<char>(v >> 8 & 0xFF);
}
void put32(std::string& out, std::uint32_t v) {
  put16(out, v & 0xFFFF);
  put16(out, v >> 16);
}

bool is_text(std::uint16_t v) {
  return v == vr('L', 'O') || v == vr('S', 'H') || v == vr('S', 'T') || v == vr('L', 'T') || v == vr('U', 'T') ||
         v == vr('U', 'C') || v == vr('A', 'E') || v == vr('C', 'S') || v == vr('U', 'R');
}

bool is_bulk(std::uint16_t v) {
  return v == vr('O', 'B') || v == vr('O', 'W') || v == vr('O', 'F') || v == vr('O', 'D') || v == vr('O', 'L') ||
         v == vr('O', 'V');
}

// Bytes of one number of a binary VR; 0 for all others.
std::uint32_t width_of(std::uint16_t v) {
  switch (v) {
    case vr('U', 'S'):
    case vr('S', 'S'):
      return 2;
    case vr('U', 'L'):
    case vr('S', 'L'):
    case vr('F', 'L'):
    case vr('A', 'T'):
      return 4;
    case vr('F', 'D'):
    case vr('U', 'V'):
    case vr('S', 'V'):
      return 8;
    default:
      return 0;
  }
}

Action usual(std::uint16_t v) {
  if (v == vr('S', 'Q')) return Action::recurse;
  if (v == vr('U', 'I')) return Action::uid;
  if (v == vr('D', 'A') || v == vr('D', 'T')) return Action::shift;
  if (v == vr('P', 'N')) return Action::empty;
  return Action::keep;
}

// Numbers that any reader takes: digits, at most nine before and six after the point, blanks around.
bool simple_numbers(std::string_view text, bool whole) {
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t stop = std::min(text.find('\\', begin), text.size());
    std::string_view part = trimmed(text.substr(begin, stop - begin));
    begin = stop + 1;
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    if (!part.empty() && (part.front() == '-' || part.front() == '+')) part.remove_prefix(1);
    const auto digits = [&] {
      std::size_t count = 0;
      while (count < part.size() && is_digit(part[count])) ++count;
      part.remove_prefix(count);
      return count;
    };
    const std::size_t count = digits();
    if (count == 0 || count > 9) return false;
    if (!part.empty() && !whole && part.front() == '.') {
      part.remove_prefix(1);
      if (digits() > 14) return false;
    }
    if (!part.empty()) return false;
  }
  return true;
}

bool is_letter_or_digit(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// As _stands_alone in _matcher.py.
bool stands_alone(std::string_view text, std::size_t start, std::string_view word) {
  const std::size_t end = start + word.size();
  const char last = start ? text[start - 1] : '\0', following = end < text.size() ? text[end] : '\0';
  bool digits = false, points = false, others = false;
  for (const char c : word) (is_digit(c) ? digits : c == '.' ? points : others) = true;
  if (digits && !others) {
    if (points)
      return !(is_digit(last) || last == '.' || is_digit(following) ||
               (following == '.' && end + 1 < text.size() && is_digit(text[end + 1])));
    return !(is_digit(last) || (start >= 2 && last == '.' && is_digit(text[start - 2])) || is_digit(following));
  }
  if (word.size() < 6) return !(is_letter_or_digit(last) || is_letter_or_digit(following));
  return true;
}

}  // namespace

void Patient::index() {
  by_letter.assign(256, {});
  for (std::uint32_t i = 0; i < words.size(); ++i)
    if (!words[i].empty()) by_letter[static_cast<unsigned char>(words[i][0])].push_back(i);
}

// Whether a word stands in a text: folded to lower case, runs of blanks, underscores and carets taken as one blank.
bool Patient::named_in(std::string_view ascii, std::string& room) const {
  room.clear();
  for (const char c : ascii) {
    const bool blank = c == ' ' || c == '_' || c == '^' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f');
    if (!blank)
      room += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    else if (room.empty() || room.back() != ' ')
      room += ' ';
  }
  const std::string_view text = room;
  for (std::size_t at = 0; at < text.size(); ++at)
    for (const std::uint32_t i : by_letter[static_cast<unsigned char>(text[at])])
      if (text.compare(at, words[i].size(), words[i]) == 0 && stands_alone(text, at, words[i])) return true;
  return false;
}

std::size_t Rewritten::size() const {
  std::size_t total = prefix.size() + out.size();
  for (const Borrowed& piece : borrowed) total += piece.size;
  return total;
}

void Rewritten::copy_to(Byte* target) const {
  const auto copy = [&](const void* from, std::size_t bytes) {
    if (bytes) std::memcpy(target, from, bytes);
    target += bytes;
  };
  copy(prefix.data(), prefix.size());
  std::size_t done = 0;
  for (const Borrowed& piece : borrowed) {
    copy(out.data() + done, piece.at - done);
    copy(piece.data, piece.size);
    done = piece.at;
  }
  copy(out.data() + done, out.size() - done);
}

bool Rewriter::run(const Byte* data, std::uint64_t size, Rewritten& result) {
  data_ = data;
  size_ = size;
  result_ = &result;
  signed_known_ = false;
  nodes_.clear();
  uids_.clear();
  identity_.clear();
  instance_.clear();
  std::uint64_t position = 0;
  if (!meta(position) || !data_set(position, size, false, 0, {})) return false;
  patient_ = mind_.patient(identity_, uids_);
  return patient_ && level(0, nodes_.size(), true, {}) && write_meta();
}

bool Rewriter::write_meta() {
  if (instance_.empty() || instance_.size() > 64 || instance_.find('\\') != std::string::npos) return false;
  std::string group;
  const auto add = [&](std::uint32_t number, std::string_view uid) {
    put16(group, 2);
    put16(group, number);
    group += "UI";
    put16(group, static_cast<std::uint32_t>(uid.size() + uid.size() % 2));
    group += uid;
    if (uid.size() % 2) group += '\0';
  };
  group.assign("\2\0\1\0OB\0\0\2\0\0\0\0\1", 14);
  add(0x0002, class_uid_);
  add(0x0003, instance_);
  add(0x0010, syntax_);
  group += plan_.meta_tail;
  std::string& prefix = result_->prefix;
  prefix.assign(128, '\0');
  prefix.append("DICM\2\0\0\0UL\4\0", 12);
  put32(prefix, static_cast<std::uint32_t>(group.size()));
  prefix += group;
  return true;
}

// Nodes first to last of one data set. At the top, elements that belong to the patient stand in for the file's.
bool Rewriter::level(std::size_t first, std::size_t last, bool top, std::string_view charset) {
  static const std::vector<std::pair<std::uint32_t, std::string>> none;
  const auto& heads = !top ? none : implicit_ ? patient_->implicit_heads : patient_->explicit_heads;
  auto head = heads.begin();
  const std::size_t begin = result_->out.size();
  for (std::size_t i = first; i < last; i = nodes_[i].next) {
    const Node& node = nodes_[i];
    if (node.tag == kCharset) charset = value(node);
    for (; head != heads.end() && head->first < node.tag; ++head) result_->out += head->second;
    const std::size_t before = result_->out.size(), pieces = result_->borrowed.size();
    if (!decide(node, top, charset)) return false;
    if (head != heads.end() && head->first == node.tag) {
      result_->out.resize(before);
      result_->borrowed.resize(pieces);
    }
  }
  for (; head != heads.end(); ++head) result_->out += head->second;
  // A length whose bytes are capitals would be taken for a VR where it comes first.
  const std::string& out = result_->out;
  return !implicit_ || out.size() - begin < 8 || !capitals(reinterpret_cast<const Byte*>(&out[begin + 4]));
}

bool Rewriter::remove(const Node& node) {
  count(node.tag, Action::remove);
  return true;
}

bool Rewriter::decide(const Node& node, bool top, std::string_view charset) {
  if ((node.tag & 0xFFFF) == 0) return true;  // group length: of the old group
  if (plan_.pixels.count(node.tag)) return emit(node, top);
  if (node.tag >> 16 & 1 || node.tag >> 24 == 0x50 || node.tag >> 24 == 0x60) return remove(node);
  const auto rule = plan_.rules.find(node.tag);
  const Action action = rule != plan_.rules.end() ? rule->second : usual(node.vr);
  const std::uint16_t v = node.vr;
  const bool bulk = is_bulk(v) || v == kBulkOpen;
  if (action == Action::remove || v == 0 || v == vr('U', 'N') || (bulk && !plan_.tables.count(node.tag)) ||
      (action == Action::uid && v != vr('U', 'I')))
    return remove(node);
  if (node.sequence) {
    if (action == Action::shift && !plan_.shift_dates) return false;
    if (action == Action::dummy || action == Action::empty) {
      header(node, 0);
      count(node.tag, Action::empty);
      return true;
    }
    if (action != Action::recurse) count(node.tag, action);
    return sequence(node, charset);
  }
  if (v == kTableOpen || v == kBulkOpen || (v == kNumberOpen && (action != Action::keep || !signed_known_)))
    return false;
  if (node.tag == kAge) return think(node, charset);
  if (action == Action::keep && (bulk || (width_of(v) && node.length % width_of(v) == 0) || v == kNumberOpen))
    return emit(node, top);
  const std::string_view text = value(node);
  if (!is_ascii(text) || text.find('\x1b') != std::string_view::npos) return think(node, charset);
  if (implicit_ && !convertible(node)) return think(node, charset);
  if (v == vr('U', 'I') && !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(trimmed(text).size()),
                                        [](char c) { return is_digit(c) || c == '.' || c == '\\'; }))
    return think(node, charset);
  if (action == Action::empty) {
    header(node, 0);
    count(node.tag, action);
    return true;
  }
  if (v == vr('U', 'I') && (action == Action::uid || action == Action::keep)) {
    if (action == Action::uid) count(node.tag, action);
    return uids(node, top);
  }
  if (action == Action::keep) return is_text(v) && named(text) ? think(node, charset) : emit(node, top);
  if (action == Action::shift && plan_.shift_dates && v == vr('T', 'M')) {
    count(node.tag, action);
    return emit(node, top);
  }
  return think(node, charset);
}

// Whether pydicom is certain to take an ASCII value of implicit VR; where it does not, the element is dropped.
bool Rewriter::convertible(const Node& node) const {
  if (node.length == 0) return true;
  if (const std::uint32_t width = width_of(node.vr)) return node.length % width == 0;
  if (node.vr == vr('I', 'S') || node.vr == vr('D', 'S')) return simple_numbers(value(node), node.vr == vr('I', 'S'));
  return true;
}

// Whether one of the patient's own values stands in an ASCII text.
bool Rewriter::named(std::string_view text) {
  if (patient_->named_in(text, room_)) return true;
  if (plan_.retain_uids) return false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!is_digit(text[at])) continue;
    const std::size_t length = uid_length(text, at);
    const std::string_view uid = text.substr(at, length);
    if (length && (std::find(uids_.begin(), uids_.end(), uid) != uids_.end() || patient_->uids.count(std::string(uid))))
      return true;
    if (length)
      at += length - 1;
    else
      while (at + 1 < text.size() && is_digit(text[at + 1])) ++at;
  }
  return false;
}

bool Rewriter::uids(const Node& node, bool top) {
  std::string text;
  const std::string_view old = value(node);
  for (std::size_t begin = 0, parts = 0; begin <= old.size();) {
    const std::size_t stop = std::min(old.find('\\', begin), old.size());
    std::string_view uid = trimmed(old.substr(begin, stop - begin));
    while (!uid.empty() && (uid.front() == ' ' || uid.front() == '\0')) uid.remove_prefix(1);
    begin = stop + 1;
    if (uid.empty()) continue;
    if (parts++) text += '\\';
    if (plan_.retain_uids || uid.substr(0, kStandard.size()) == kStandard)
      text += uid;
    else
      text += replaced(uid);
  }
  if (top && node.tag == kInstance) instance_ = text;
  if (text.size() % 2) text += '\0';
  if (text.size() > 0xFFFF) return false;
  header(node, static_cast<std::uint32_t>(text.size()));
  result_->out += text;
  return true;
}

const std::string& Rewriter::replaced(std::string_view uid) {
  std::string key(uid);
  if (const auto found = uid_codes_.find(key); found != uid_codes_.end()) return found->second;
  std::string code = mind_.uid(uid);
  if (uid_codes_.size() >= kRemembered) uid_codes_.clear();
  return uid_codes_[std::move(key)] = std::move(code);
}

bool Rewriter::think(const Node& node, std::string_view charset) {
  const std::string_view text = value(node);
  bool uid = false;  // such texts are judged by the UIDs of this very file
  for (std::size_t at = 0; at < text.size() && !uid; ++at) uid = is_digit(text[at]) && uid_length(text, at);
  const Question question{node.tag, node.vr, implicit_, text, charset};
  auto& thoughts = const_cast<Patient*>(patient_)->thoughts;
  Thought fresh;
  const Thought* thought = &fresh;
  if (uid || text.size() > 1024) {
    if (!mind_.think(*patient_, question, uids_, fresh)) return false;
  } else {
    const std::uint32_t numbers[3] = {node.tag, node.vr, implicit_};
    std::string key(reinterpret_cast<const char*>(numbers), sizeof numbers);
    key.append(charset).append(1, '\0').append(text);
    auto found = thoughts.find(key);
    if (found == thoughts.end()) {
      if (!mind_.think(*patient_, question, uids_, fresh)) return false;
      if (thoughts.size() >= kRemembered) thoughts.clear();
      found = thoughts.emplace(std::move(key), std::move(fresh)).first;
    }
    thought = &found->second;
  }
  result_->out += thought->bytes;
  result_->counts.insert(result_->counts.end(), thought->counts.begin(), thought->counts.end());
  return true;
}

void Rewriter::header(const Node& node, std::uint32_t length) {
  std::string& out = result_->out;
  put16(out, node.tag >> 16);
  put16(out, node.tag & 0xFFFF);
  if (implicit_) return put32(out, length);
  put16(out, node.vr);
  if (!is_long(node.vr)) return put16(out, length);
  put16(out, 0);
  put32(out, length);
}

bool Rewriter::emit(const Node& node, bool top) {
  if (node.length % 2) return false;
  header(node, node.fragments ? kUndefined : node.length);
  if (top && node.length >= kBorrow)
    result_->borrowed.push_back({result_->out.size(), data_ + node.offset, node.length});
  else
    result_->out += value(node);
  return true;
}

bool Rewriter::sequence(const Node& node, std::string_view charset) {
  std::string& out = result_->out;
  const auto set_length = [&](std::size_t begin) {
    const std::size_t length = out.size() - begin;
    for (unsigned i = 0; i < 4; ++i) out[begin - 4 + i] = static_cast<char>(length >> (8 * i) & 0xFF);
    return length < kUndefined;
  };
  header(node, 0);
  const std::size_t begin = out.size();
  const std::size_t self = static_cast<std::size_t>(&node - nodes_.data());
  for (std::size_t i = self + 1; i < node.next; i = nodes_[i].next) {
    put32(out, 0xE000FFFE);
    put32(out, 0);
    const std::size_t inside = out.size();
    if (!level(i + 1, nodes_[i].next, false, charset) || !set_length(inside)) return false;
  }
  return set_length(begin);
}

}  // namespace fastimg::dicom
