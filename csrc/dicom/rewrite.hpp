// A little-endian DICOM file rewritten element by element after a table of actions, without making objects of its
// values.
//
// Only what is certain is decided here: the file must be well formed (ascending tags, known VRs, even lengths, lengths
// that add up). Whatever needs thought (dates, ages, names, foreign letters, descriptions) is asked from `Mind`, and
// its answers are remembered. Any doubt ends in `false`: the caller then goes the slow way. Memory: at most five times
// the file (a node of 40 bytes for each 8 bytes); depth is bounded by kLevels.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "dicom/bytes.hpp"
#include "dicom/walk.hpp"

namespace fastimg::dicom {

enum class Action : std::uint8_t { none, keep, remove, empty, dummy, uid, shift, clean, recurse };
using Counts = std::vector<std::pair<std::uint32_t, Action>>;

// An answer of Mind: the element as it is to be written, header and all, and what was done.
struct Thought {
  std::string bytes;
  Counts counts;
};

struct Question {
  std::uint32_t tag;
  std::uint16_t vr;  // 0: the file does not say
  bool implicit;
  std::string_view value, charset;
};

// What belongs to one patient, found by the bytes of the identifying elements.
struct Patient {
  std::vector<std::string> words;        // folded ASCII identifiers, normal as in Python's matcher
  std::unordered_set<std::string> uids;  // UIDs known from elsewhere than UI elements
  std::vector<std::pair<std::uint32_t, std::string>> explicit_heads, implicit_heads;  // elements set at the top level
  std::unordered_map<std::string, Thought> thoughts;
  std::vector<std::vector<std::uint32_t>> by_letter;  // words by their first byte

  void index();
  bool named_in(std::string_view ascii, std::string& room) const;
};

struct Mind {
  std::function<const Patient*(std::string_view identity, const std::vector<std::string_view>& uids)> patient;
  std::function<bool(const Patient&, const Question&, const std::vector<std::string_view>& uids, Thought&)> think;
  std::function<std::string(std::string_view)> uid;
  std::function<std::uint16_t(std::uint32_t tag, std::string_view creator)> vr;  // 0: unknown
};

// VRs that the dictionary leaves open: US or SS, OB or OW, with OW among others.
constexpr std::uint16_t kNumberOpen = vr('u', 's'), kBulkOpen = vr('o', 'b'), kTableOpen = vr('u', 'o');

struct RewriteRules {
  std::unordered_map<std::uint32_t, Action> rules;
  std::unordered_map<std::uint32_t, std::uint16_t> vrs;  // the dictionary
  std::unordered_set<std::uint32_t> pixels, tables, telling;
  bool shift_dates = true;  // times of day stay as they are
  bool retain_uids = false;
  std::string meta_tail;  // of the meta group, after the transfer syntax
};

// A stretch of the source that is to be inserted before out[at].
struct Borrowed {
  std::size_t at;
  const Byte* data;
  std::size_t size;
};

struct Rewritten {
  std::string prefix;  // preamble and meta group
  std::string out;     // the data set, less what is borrowed
  std::vector<Borrowed> borrowed;
  Counts counts;
  std::size_t size() const;
  void copy_to(Byte* target) const;
};

class Rewriter {
 public:
  Rewriter(RewriteRules plan, Mind mind) : plan_(std::move(plan)), mind_(std::move(mind)) {}
  // False where the file is anything but plain; `result` is then of no use.
  bool run(const Byte* data, std::uint64_t size, Rewritten& result);

 private:
  static constexpr int kLevels = 24;
  static constexpr std::size_t kRemembered = 1 << 14;

  struct Node {
    std::uint64_t offset;  // of the value
    std::uint32_t length;  // of the value; of encapsulated data with their end
    std::uint32_t tag;
    std::uint32_t next;  // index of the node after this one and all that it holds
    std::uint16_t vr;
    bool fragments, sequence;
  };
  struct Level {
    std::uint32_t last = 0;
    std::string_view charset;
    std::vector<std::pair<std::uint32_t, std::string_view>> creators;  // of private blocks
  };

  bool meta(std::uint64_t& position);
  bool data_set(std::uint64_t& position, std::uint64_t end, bool undefined, int depth, std::string_view charset);
  bool items(std::uint64_t& position, std::uint64_t end, bool undefined, int depth, std::string_view charset);
  bool element(std::uint64_t& position, std::uint64_t end, int depth, Level& level);
  bool fragments(std::uint64_t& position, std::uint64_t end);
  bool identity(const Node& node, int depth, std::string_view charset);
  std::uint16_t dictionary(std::uint32_t tag, std::string_view creator);

  bool level(std::size_t first, std::size_t last, bool top, std::string_view charset);
  bool decide(const Node& node, bool top, std::string_view charset);
  bool sequence(const Node& node, std::string_view charset);
  bool think(const Node& node, std::string_view charset);
  bool convertible(const Node& node) const;
  bool named(std::string_view text);
  bool uids(const Node& node, bool top);
  bool write_meta();
  const std::string& replaced(std::string_view uid);
  void header(const Node& node, std::uint32_t length);
  bool emit(const Node& node, bool top);
  bool remove(const Node& node);
  void count(std::uint32_t tag, Action action) { result_->counts.emplace_back(tag, action); }
  std::string_view value(const Node& node) const {
    return {reinterpret_cast<const char*>(data_ + node.offset), node.length};
  }

  RewriteRules plan_;
  Mind mind_;
  std::unordered_map<std::string, std::string> uid_codes_;
  std::unordered_map<std::string, std::uint16_t> asked_vrs_;

  // of the file in hand
  const Byte* data_ = nullptr;
  std::uint64_t size_ = 0;
  bool implicit_ = false, encapsulated_ = false, signed_known_ = false;
  std::string_view class_uid_, syntax_;
  std::string instance_, identity_, room_;
  std::vector<Node> nodes_;
  std::vector<std::string_view> uids_;
  const Patient* patient_ = nullptr;
  Rewritten* result_ = nullptr;
};

}  // namespace fastimg::dicom
