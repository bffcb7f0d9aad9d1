#include "dicom/scan.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <system_error>

#include "cpu/pool.hpp"
#include "dicom/inflate.hpp"
#include "dicom/part10.hpp"
#include "dicom/values.hpp"

namespace fastimg::dicom {
namespace {

constexpr int kChunk = 64;                       // files a block
constexpr std::uint32_t kTextLimit = 1024;       // bytes kept of a text value
constexpr std::uint32_t kListLimit = 64 * 1024;  // bytes read of a list of numbers
constexpr std::uint64_t kInflateFirst = 256 << 10, kInflateLast = 64 << 20;

constexpr int field(const char* name) {
  for (int i = 0; i < kFieldCount; ++i)
    if (std::string_view(kFields[i].name) == name) return i;
  return -1;
}
constexpr int kSopClass = field("sop_class_uid"), kTransferSyntax = field("transfer_syntax"), kRows = field("rows"),
              kColumns = field("columns"), kSamples = field("samples"), kFrames = field("frames"),
              kAllocated = field("bits_allocated"), kPhotometric = field("photometric");

// What functional groups add to the columns, from the shared group or else the first frame's.
struct GroupField {
  std::uint32_t parent, tag;
  std::uint16_t vr;
  int field;
};
constexpr GroupField kGroupFields[] = {
    {kPixelMeasures, tag(0x0028, 0x0030), vr('D', 'S'), field("pixel_spacing")},
    {kPixelMeasures, tag(0x0018, 0x0050), vr('D', 'S'), field("thickness")},
    {kPixelMeasures, tag(0x0018, 0x0088), vr('D', 'S'), field("spacing_between_slices")},
    {kPlaneOrientation, tag(0x0020, 0x0037), vr('D', 'S'), field("image_orientation")},
    {kPlanePosition, tag(0x0020, 0x0032), vr('D', 'S'), field("image_position")},
    {kPixelTransform, tag(0x0028, 0x1052), vr('D', 'S'), field("rescale_intercept")},
    {kPixelTransform, tag(0x0028, 0x1053), vr('D', 'S'), field("rescale_slope")},
    {kPixelTransform, tag(0x0028, 0x1054), vr('L', 'O'), field("rescale_type")},
    {kMrEcho, tag(0x0018, 0x9082), vr('F', 'D'), field("echo_time")},
    {kMrDiffusion, tag(0x0018, 0x9087), vr('F', 'D'), field("b_value")},
    {kCtReconstruction, tag(0x0018, 0x1210), vr('S', 'H'), field("kernel")},
};

// Tag -> field for the top level: open addressing, no collision chain longer than a few cells.
class Lookup {
 public:
  Lookup() {
    cells_.fill({0, -1});
    for (int i = 0; i < kFieldCount; ++i) {
      if (kFields[i].parent) continue;
      std::size_t cell = home(kFields[i].tag);
      while (cells_[cell].field >= 0) cell = (cell + 1) % kSize;
      cells_[cell] = {kFields[i].tag, i};
    }
  }
  int operator()(std::uint32_t wanted) const {
    for (std::size_t cell = home(wanted);; cell = (cell + 1) % kSize) {
      if (cells_[cell].field < 0) return -1;
      if (cells_[cell].tag == wanted) return cells_[cell].field;
    }
  }

 private:
  static constexpr std::size_t kSize = 1024;
  static std::size_t home(std::uint32_t t) { return (t * 0x9E3779B1u) >> 22; }
  struct Cell {
    std::uint32_t tag;
    int field;
  };
  std::array<Cell, kSize> cells_;
};
const Lookup lookup;

struct Room {  // reused from file to file by one thread
  std::vector<Byte> window, inflated;
  std::vector<double> list;
  std::uint32_t header =
      Source::kWindow;  // where the last file's pixels began, in whole pages: its neighbours are like it
};

void store(Walker& walker, Source& source, Block& block, Room& room, int which, std::uint16_t fallback) {
  const Element element = walker.current();
  const FieldKind kind = kFields[which].kind;
  if (element.length == kUndefined || block.has(which)) return;
  if (kind == FieldKind::text) {
    const std::uint32_t length = std::min(element.length, kTextLimit);
    const Byte* value = source.at(element.offset, length);
    if (!value) return;
    const std::string_view text = trimmed(std::string_view(reinterpret_cast<const char*>(value), length));
    if (!text.empty()) block.text(which, text);
    return;
  }
  const std::uint32_t length = std::min(element.length, kind == FieldKind::reals ? kListLimit : 64u);
  const Byte* value = source.at(element.offset, length);
  if (!value) return;
  const int wanted = kind == FieldKind::reals ? static_cast<int>(length / 2 + 1) : 1;
  if (static_cast<int>(room.list.size()) < wanted) room.list.resize(static_cast<std::size_t>(wanted));
  const int count = numbers(value, length, element.vr, fallback, walker.encoding().big, room.list.data(), wanted);
  if (count <= 0) return;
  const double first = room.list[0];
  if (kind == FieldKind::reals) {
    block.reals(which, room.list.data(), count);
  } else if (std::isfinite(first)) {
    if (kind == FieldKind::real)
      block.real(which, first);
    else if (std::abs(first) < 9e15)
      block.whole(which, static_cast<std::int64_t>(first));
  }
}

// The first item of functional groups or of the radiopharmaceutical sequence. False: damaged.
bool enter_first_item(Walker& walker, Source& source, Block& block, Room& room, bool groups) {
  if (!walker.enter()) return false;
  const int level = walker.depth();
  for (;;) {
    const Step step = walker.next();
    if (step == Step::damaged) return false;
    if (step == Step::end || (step == Step::sequence_end && walker.depth() < level)) return true;
    if (step == Step::item && walker.depth() == level && walker.item(level) > 0) {
      walker.leave();
      if (walker.depth() < level) return true;
    }
    if (step != Step::element || walker.item(level) > 0) continue;
    const std::uint32_t found = walker.current().tag;
    if (walker.depth() == level && groups && walker.is_sequence()) {
      if (found == kPixelMeasures || found == kPlaneOrientation || found == kPlanePosition ||
          found == kPixelTransform || found == kMrEcho || found == kMrDiffusion || found == kCtReconstruction) {
        if (!walker.enter()) return false;
      }
      continue;
    }
    const std::uint32_t parent = walker.parent();
    if (groups) {
      for (const GroupField& g : kGroupFields)
        if (g.tag == found && g.parent == parent) store(walker, source, block, room, g.field, g.vr);
    } else if (walker.depth() == level) {
      for (int i = 0; i < kFieldCount; ++i)
        if (kFields[i].tag == found && kFields[i].parent == parent)
          store(walker, source, block, room, i, kFields[i].vr);
    }
  }
}

// Walks the data set up to its pixels. `whole` is false where the source is only the first part of a stream.
bool read_elements(Source& source, std::uint64_t begin, Encoding encoding, Block& block, Room& room, Fact& fact) {
  Walker walker(source, begin, source.size(), encoding);
  for (;;) {
    const Step step = walker.next();
    if (step == Step::end) return true;
    if (step == Step::damaged) {
      fact.detail = walker.problem();
      return false;
    }
    if (step != Step::element) continue;
    const Element element = walker.current();
    if (element.tag >> 16 == 0x7FE0) {
      if (element.tag == kPixelData || element.tag == kFloatPixels || element.tag == kDoublePixels) {
        fact.pixel_element = static_cast<std::int32_t>(element.tag & 0xFFFF);
        fact.pixel_offset = static_cast<std::int64_t>(element.offset);
        fact.pixel_length = element.length == kUndefined ? -1 : static_cast<std::int64_t>(element.length);
        fact.pixel_vr = element.vr;
        return true;
      }
      continue;
    }
    if (element.tag == kSharedGroups || element.tag == kFrameGroups || element.tag == kRadiopharmaceutical) {
      if (!walker.is_sequence()) continue;
      const bool groups = element.tag != kRadiopharmaceutical;
      fact.segmented |= groups;
      if (!enter_first_item(walker, source, block, room, groups)) {
        fact.detail = walker.problem();
        return false;
      }
      continue;
    }
    const int which = lookup(element.tag);
    if (which >= 0) store(walker, source, block, room, which, kFields[which].vr);
  }
}

bool is_any(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// Bytes that native pixel data need; false where the product does not fit 63 bits or a factor is out of range.
bool native_length(const Block& block, std::uint64_t* bytes) {
  const std::int64_t factors[] = {block.whole_of(kRows, 0), block.whole_of(kColumns, 0), block.whole_of(kSamples, 1),
                                  block.whole_of(kAllocated, 0), block.whole_of(kFrames, 1)};
  std::int64_t bits = 1;
  for (const std::int64_t factor : factors)
    if (factor < 0 || __builtin_mul_overflow(bits, factor, &bits)) return false;
  if (block.text_of(kPhotometric) == "YBR_FULL_422") bits = bits / 3 * 2;
  *bytes = static_cast<std::uint64_t>(bits / 8 + (bits % 8 != 0));
  return true;
}

void classify(const Block& block, Fact& fact, std::uint64_t end, bool complete, const char* syntax) {
  const std::string_view sop = block.text_of(kSopClass);
  const bool pixels = fact.pixel_offset >= 0;
  const bool image = block.whole_of(kRows, 0) > 0 && block.whole_of(kColumns, 0) > 0 && block.has(kAllocated);
  if (!complete) {
    fact.status = Status::damaged;
    fact.finding = "damaged-file";
  } else if (is_any(sop, {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7",
                          "1.2.840.10008.5.1.4.1.1.481.3"})) {
    fact.status = Status::mask;
  } else if (pixels && image) {
    fact.status = Status::image;
  } else {
    fact.status = Status::other;
    fact.finding = "not-image";
    if (image) fact.detail = "the file holds no pixel data";
    return;
  }
  if (!pixels || fact.pixel_length < 0 || !complete) return;
  std::uint64_t needed = 0;
  const auto length = static_cast<std::uint64_t>(fact.pixel_length);
  if (!within(static_cast<std::uint64_t>(fact.pixel_offset), length, end))
    fact.detail = "the pixel data are cut off by the end of the file";
  else if (is_native(syntax) && (!native_length(block, &needed) || needed > length))
    fact.detail = "the pixel data are shorter than rows, columns, frames and bits need";
  if (fact.detail) {
    fact.status = Status::damaged;
    fact.finding = "damaged-file";
  }
}

void read_source(Source& source, Block& block, Room& room, Fact& fact) {
  fact.size = source.size();
  const Preface preface = read_preface(source);
  if (preface.kind == FileKind::stranger || preface.kind == FileKind::archive) {
    fact.status = Status::skipped;
    fact.finding = preface.kind == FileKind::archive ? "archive" : "not-dicom";
    return;
  }
  if (preface.transfer_syntax[0]) block.text(kTransferSyntax, preface.transfer_syntax);
  fact.big = preface.encoding.big;
  fact.deflated = preface.deflated;
  if (preface.kind == FileKind::damaged) {
    fact.status = Status::damaged;
    fact.finding = "damaged-file";
    fact.detail = preface.problem;
    return;
  }
  if (!preface.deflated) {
    const bool complete = read_elements(source, preface.data_set, preface.encoding, block, room, fact);
    classify(block, fact, source.size(), complete, preface.transfer_syntax);
    return;
  }
  const std::uint64_t packed = source.size() - preface.data_set;
  for (std::uint64_t limit = kInflateFirst;; limit *= 16) {
    const std::uint64_t taken = std::min(packed, limit);  // a stream's first bytes yield at least as many
    room.inflated.clear();
    const Byte* stream_bytes = source.at(preface.data_set, taken);
    if (!stream_bytes) break;
    const Inflated state = inflate(stream_bytes, taken, room.inflated, limit);
    Source stream(room.inflated.data(), room.inflated.size());
    fact.detail = nullptr;
    const bool complete = read_elements(stream, 0, preface.encoding, block, room, fact);
    const bool prefix = state == Inflated::limited || taken < packed;
    if (prefix && fact.pixel_offset < 0 && limit < kInflateLast) continue;
    if (state == Inflated::damaged && taken == packed) {
      fact.detail = "the deflated data set is damaged";
      break;
    }
    // Where the pixels lie beyond what was inflated, their length is checked when they are decoded.
    const std::uint64_t end = prefix ? ~std::uint64_t{0} : room.inflated.size();
    classify(block, fact, end, complete, preface.transfer_syntax);
    return;
  }
  fact.status = Status::damaged;
  fact.finding = "damaged-file";
}

void scan_entry(int root, const Entry& entry, Block& block, Room& room, Fact& fact) {
  if (entry.kind == EntryKind::link) {
    fact.finding = "symlink";
    return;
  }
  if (entry.kind == EntryKind::special) {
    fact.finding = "not-dicom";
    fact.detail = "not a regular file";
    return;
  }
  File file;
  if (entry.kind == EntryKind::unreadable || !file.open(root, entry.path.c_str())) {
    fact.finding = entry.kind == EntryKind::file && errno == ELOOP ? "symlink" : "unreadable";
    return;
  }
  Source source(file, room.window, room.header);
  read_source(source, block, room, fact);
  if (fact.pixel_offset > 0 && !fact.deflated) {
    const std::uint64_t pages = (static_cast<std::uint64_t>(fact.pixel_offset) + Source::kPage - 1) / Source::kPage;
    room.header = static_cast<std::uint32_t>(std::min<std::uint64_t>(pages * Source::kPage, Source::kLargest));
  }
}

}  // namespace

Fact scan_bytes(const Byte* data, std::uint64_t size) {
  Block block(1);
  block.begin(0);
  Room room;
  Source source(data, size);
  read_source(source, block, room, block.facts[0]);
  return block.facts[0];
}

Table scan(const std::string& root, const std::vector<Entry>& entries, int threads) {
  const int base = root.empty() ? AT_FDCWD : ::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!root.empty() && base < 0) throw std::system_error(errno, std::generic_category());
  const std::size_t count = entries.size();
  std::vector<Block> blocks;
  for (std::size_t begin = 0; begin < count; begin += kChunk)
    blocks.emplace_back(static_cast<int>(std::min<std::size_t>(kChunk, count - begin)));
  std::exception_ptr error;
  try {
    cpu::parallel_for(static_cast<std::int64_t>(count), kChunk, threads, [&](std::int64_t begin, std::int64_t end) {
      Room room;
      Block& block = blocks[static_cast<std::size_t>(begin / kChunk)];
      for (std::int64_t i = begin; i < end; ++i) {
        const int row = static_cast<int>(i - begin);
        block.begin(row);
        scan_entry(base, entries[static_cast<std::size_t>(i)], block, room, block.facts[static_cast<std::size_t>(row)]);
      }
    });
  } catch (...) {
    error = std::current_exception();
  }
  if (base >= 0) ::close(base);
  if (error) std::rethrow_exception(error);
  return Table::join(blocks, threads);
}

}  // namespace fastimg::dicom
