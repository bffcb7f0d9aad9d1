// The elements of a DICOM data set, one after another, without copying values (PS3.5 chapter 7).
//
// A walker never recurses and never allocates: nesting is a fixed stack, lengths are 64-bit and checked against the end
// of what encloses them, and each step consumes at least eight bytes, so that any input ends in time linear in its
// size.
#pragma once

#include <cstdint>

#include "dicom/source.hpp"

namespace fastimg::dicom {

constexpr std::uint32_t kUndefined = 0xFFFFFFFFu;
constexpr std::uint32_t tag(std::uint32_t group, std::uint32_t element) { return group << 16 | element; }
constexpr std::uint32_t kItem = tag(0xFFFE, 0xE000), kItemEnd = tag(0xFFFE, 0xE00D), kSequenceEnd = tag(0xFFFE, 0xE0DD);
constexpr std::uint32_t kPixelData = tag(0x7FE0, 0x0010), kFloatPixels = tag(0x7FE0, 0x0008),
                        kDoublePixels = tag(0x7FE0, 0x0009);
constexpr std::uint32_t kSharedGroups = tag(0x5200, 0x9229), kFrameGroups = tag(0x5200, 0x9230);
constexpr std::uint16_t vr(char a, char b) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(a) | static_cast<unsigned char>(b) << 8);
}

// VRs whose length has 32 bits after two reserved bytes (PS3.5 table 7.1-1).
inline bool is_long(std::uint16_t v) {
  switch (v) {
    case vr('O', 'B'):
    case vr('O', 'D'):
    case vr('O', 'F'):
    case vr('O', 'L'):
    case vr('O', 'V'):
    case vr('O', 'W'):
    case vr('S', 'Q'):
    case vr('S', 'V'):
    case vr('U', 'C'):
    case vr('U', 'N'):
    case vr('U', 'R'):
    case vr('U', 'T'):
    case vr('U', 'V'):
      return true;
    default:
      return false;
  }
}

struct Element {
  std::uint32_t tag;
  std::uint16_t vr;  // 0 where the file does not say
  std::uint32_t length;
  std::uint64_t offset;  // of the value
};

struct Encoding {
  bool explicit_vr = true;
  bool big = false;
};

enum class Step { element, item, item_end, sequence_end, end, damaged };

class Walker {
 public:
  static constexpr int kDepth = 32;  // sequences within sequences; deeper files are damaged or hostile

  // Walks [begin, end) of the source. `lenient_end`: a value cut off by the end is `damaged`, fewer than 8 bytes are
  // not.
  Walker(Source& source, std::uint64_t begin, std::uint64_t end, Encoding encoding)
      : source_(source), position_(begin) {
    frames_[0] = {end, 0, 0, encoding, Kind::data_set, false};
  }

  // The next event. After `element`, current() describes it; its value is skipped by the next call unless enter() is
  // called, which is possible where is_sequence(). Sequences of undefined length that are not entered are passed over.
  Step next();
  const Element& current() const { return element_; }
  // Whether the element can be entered; where the file names no VR, the caller must know by the tag that it is a
  // sequence.
  bool is_sequence() const { return sequence_; }
  bool enter();  // false: nested too deeply
  void leave();  // skip the rest of the innermost entered sequence, if its length is known

  int depth() const { return (depth_ + 1) / 2; }                     // of entered sequences
  std::uint32_t parent() const { return frames_[depth_].sequence; }  // tag of the innermost entered sequence
  std::uint32_t parent(int level) const { return frames_[2 * level].sequence; }  // level 1 is the outermost
  std::uint32_t item(int level) const { return frames_[2 * level].item; }        // index of its item, from 0
  Encoding encoding() const { return frames_[depth_].encoding; }
  const char* problem() const { return problem_; }
  std::uint64_t position() const { return position_; }
  const Byte* value() { return source_.at(element_.offset, element_.length); }

 private:
  enum class Kind : std::uint8_t { data_set, sequence, fragments };
  struct Frame {
    std::uint64_t end;  // of the enclosing bytes: known length, or what encloses it
    std::uint32_t sequence, item;
    Encoding encoding;
    Kind kind;
    bool undefined;
  };

  Step fail(const char* problem) {
    problem_ = problem;
    return Step::damaged;
  }
  Step read_element(const Byte* head);
  bool pass_over();
  bool push(Kind kind, std::uint64_t end, bool undefined, Encoding encoding, std::uint32_t sequence);
  bool looks_like_item(std::uint64_t offset, bool big);

  Source& source_;
  std::uint64_t position_;
  Frame frames_[2 * kDepth + 2];
  int depth_ = 0;
  Element element_{};
  bool pending_ = false, sequence_ = false;
  const char* problem_ = "";
};

}  // namespace fastimg::dicom
