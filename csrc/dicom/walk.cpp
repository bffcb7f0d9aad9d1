#include "dicom/walk.hpp"

#include <cstring>

namespace fastimg::dicom {

bool Walker::push(Kind kind, std::uint64_t end, bool undefined, Encoding encoding, std::uint32_t sequence) {
  if (depth_ + 1 >= 2 * kDepth + 2) {
    problem_ = "sequences are nested too deeply";
    return false;
  }
  frames_[++depth_] = {end, sequence, 0, encoding, kind, undefined};
  return true;
}

bool Walker::looks_like_item(std::uint64_t offset, bool big) {
  const Byte* next = source_.at(offset, 4);
  if (!next) return false;
  const std::uint32_t found = tag(load16(next, big), load16(next + 2, big));
  return found == kItem || found == kSequenceEnd;
}

Step Walker::next() {
  if (pending_) {
    pending_ = false;
    if (element_.length != kUndefined)
      position_ = element_.offset + element_.length;
    else if (!pass_over())
      return Step::damaged;
  }
  for (;;) {
    Frame& frame = frames_[depth_];
    if (position_ >= frame.end) {
      if (depth_ == 0) return Step::end;
      if (frame.undefined) return fail("a sequence or item has no end");
      const bool item = frame.kind == Kind::data_set;
      --depth_;
      return item ? Step::item_end : Step::sequence_end;
    }
    if (frame.end - position_ < 8) {
      if (depth_ == 0) return Step::end;  // a trailing byte or two
      return fail("an item ends within an element");
    }
    const Byte* head = source_.at(position_, 8);
    if (!head) return fail("the file could not be read");
    const bool big = frame.encoding.big;
    const std::uint32_t found = tag(load16(head, big), load16(head + 2, big));
    if (frame.kind == Kind::sequence) {
      const std::uint32_t length = load32(head + 4, big);
      position_ += 8;
      if (found == kSequenceEnd) {
        if (!frame.undefined) continue;  // some writers end even sequences of known length
        --depth_;
        return Step::sequence_end;
      }
      if (found != kItem) return fail("a sequence holds something that is not an item");
      if (length != kUndefined && !within(position_, length, frame.end))
        return fail("an item is longer than its sequence");
      const std::uint64_t end = length == kUndefined ? frame.end : position_ + length;
      const std::uint32_t sequence = frame.sequence;
      if (!push(Kind::data_set, end, length == kUndefined, frame.encoding, sequence)) return Step::damaged;
      frames_[depth_].item = frames_[depth_ - 1].item++;
      return Step::item;
    }
    if (found == kItemEnd) {
      position_ += 8;
      if (depth_ == 0 || !frame.undefined) continue;
      --depth_;
      return Step::item_end;
    }
    if (found == kSequenceEnd || found == kItem) {  // stray delimiters
      position_ += 8;
      continue;
    }
    return read_element(head);
  }
}

Step Walker::read_element(const Byte* head) {
  const Frame& frame = frames_[depth_];
  const bool big = frame.encoding.big;
  element_.tag = tag(load16(head, big), load16(head + 2, big));
  std::uint64_t header = 8;
  const bool letters = head[4] >= 'A' && head[4] <= 'Z' && head[5] >= 'A' && head[5] <= 'Z';
  if (frame.encoding.explicit_vr && letters) {
    element_.vr = vr(static_cast<char>(head[4]), static_cast<char>(head[5]));
    if (is_long(element_.vr)) {
      header = 12;
      const Byte* longer = frame.end - position_ >= 12 ? source_.at(position_, 12) : nullptr;
      if (!longer) return fail("an element's header is cut off");
      element_.length = load32(longer + 8, big);
    } else {
      element_.length = load16(head + 6, big);
    }
  } else {  // implicit, or a writer that lapsed into it
    element_.vr = 0;
    element_.length = load32(head + 4, big);
  }
  element_.offset = position_ + header;
  const bool pixels = depth_ == 0 && element_.tag >> 16 == 0x7FE0;
  sequence_ = false;
  if (element_.length == kUndefined) {
    // UN of undefined length is a sequence in implicit VR (PS3.5 6.2.2); elsewhere fragments.
    sequence_ = element_.vr == vr('S', 'Q') || element_.vr == vr('U', 'N') ||
                (element_.vr == 0 && !pixels && looks_like_item(element_.offset, big));
  } else {
    const bool unnamed = element_.vr == 0 || element_.vr == vr('U', 'N');
    sequence_ = element_.vr == vr('S', 'Q') || (unnamed && element_.length >= 8 && !pixels);
    if (!within(element_.offset, element_.length, frame.end)) {
      problem_ = "a value is cut off by the end of what holds it";
      // Pixel data that are cut short are reported as an element; the caller compares its length with the file's.
      if (!pixels) return Step::damaged;
    }
  }
  pending_ = true;
  return Step::element;
}

bool Walker::enter() {
  pending_ = false;
  position_ = element_.offset;
  Encoding encoding = frames_[depth_].encoding;
  if (element_.vr == vr('U', 'N')) encoding.explicit_vr = false;
  const bool undefined = element_.length == kUndefined;
  const std::uint64_t end = undefined ? frames_[depth_].end : element_.offset + element_.length;
  return push(Kind::sequence, end, undefined, encoding, element_.tag);
}

void Walker::leave() {
  const int sequence = depth_ % 2 ? depth_ : depth_ - 1;
  if (depth_ == 0 || frames_[sequence].undefined) return;
  pending_ = false;
  position_ = frames_[sequence].end;
  depth_ = sequence - 1;
}

// Skips a value of undefined length: nested sequences and items, or fragments. Only marks what it needs to.
bool Walker::pass_over() {
  position_ = element_.offset;
  const int base = depth_;
  Encoding encoding = frames_[depth_].encoding;
  if (element_.vr == vr('U', 'N')) encoding.explicit_vr = false;
  if (!sequence_) {
    for (;;) {
      const Byte* head = within(position_, 8, frames_[depth_].end) ? source_.at(position_, 8) : nullptr;
      if (!head) return problem_ = "encapsulated data have no end", false;
      const std::uint32_t found = tag(load16(head, encoding.big), load16(head + 2, encoding.big));
      const std::uint32_t length = load32(head + 4, encoding.big);
      position_ += 8;
      if (found == kSequenceEnd) return true;
      if (found != kItem || !within(position_, length, frames_[depth_].end))
        return problem_ = "encapsulated data are damaged", false;
      position_ += length;
    }
  }
  if (!enter()) return false;
  for (;;) {
    const Step step = next();
    if (step == Step::damaged || step == Step::end) return false;
    if (step == Step::sequence_end && depth_ == base) return true;
    if (step == Step::element && element_.length == kUndefined) {
      // Nested values of undefined length: keep the walk flat rather than recurse.
      if (sequence_ && !enter()) return false;
    }
  }
}

}  // namespace fastimg::dicom
