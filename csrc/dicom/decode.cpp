#include "dicom/decode.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "cpu/pool.hpp"
#include "dicom/inflate.hpp"
#include "dicom/jpeg_lossless.hpp"
#include "dicom/rle.hpp"

namespace fastimg::dicom {
namespace {

struct Room {  // of one thread, reused from frame to frame
  std::vector<Byte> packed, stored, planes;

  // Threads of the pool live on: one large file must not hold its memory for ever.
  void drop_if_large() {
    if (packed.capacity() + stored.capacity() + planes.capacity() > kKeep) *this = Room{};
  }
  static constexpr std::size_t kKeep = 64 << 20;
};

Room& room_of_thread() {
  static thread_local Room room;
  return room;
}

[[noreturn]] void fail(const char* message) { throw std::runtime_error(message); }

void open(File& file, const std::string& path) {
  if (!file.open(-100 /* AT_FDCWD */, path.c_str())) fail("the file cannot be opened");
}

void swap_words(Byte* data, std::uint64_t bytes, unsigned width) {
  if (width == 2) {
    for (std::uint64_t i = 0; i + 2 <= bytes; i += 2) std::swap(data[i], data[i + 1]);
  } else if (width > 2) {
    for (std::uint64_t i = 0; i + width <= bytes; i += width) std::reverse(data + i, data + i + width);
  }
}

void interleave(const Byte* planes, Byte* out, std::uint64_t pixels, unsigned samples, unsigned width) {
  for (unsigned s = 0; s < samples; ++s)
    for (std::uint64_t i = 0; i < pixels; ++i)
      std::memcpy(out + (i * samples + s) * width, planes + (s * pixels + i) * width, width);
}

// Y1 Y2 B R -> Y1 B R Y2 B R (PS3.3 C.7.6.3.1.2)
void expand_422(const Byte* in, Byte* out, std::uint64_t pixels) {
  for (std::uint64_t pair = 0; pair < pixels / 2; ++pair, in += 4, out += 6) {
    out[0] = in[0];
    out[3] = in[1];
    out[1] = out[4] = in[2];
    out[2] = out[5] = in[3];
  }
}

void expand_bits(const Byte* in, std::uint64_t first, Byte* out, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) out[i] = in[(first + i) >> 3] >> ((first + i) & 7) & 1;
}

// Native bytes [offset, offset + length) of the pixel value, from the file or from the inflated data set.
const Byte* native_bytes(const Frame& frame, std::uint64_t offset, std::uint64_t length, Room& room) {
  if (!within(offset, length, frame.length))
    fail("the pixel data are shorter than rows, columns, frames and bits need");
  std::uint64_t begin;
  if (__builtin_add_overflow(frame.offset, offset, &begin)) fail("the pixel data lie outside the file");
  File file;
  open(file, frame.path);
  if (frame.deflated_at == 0) {
    if (!within(begin, length, file.size())) fail("the pixel data are cut off by the end of the file");
    if (room.packed.size() < length) room.packed.resize(length);
    if (!file.read(begin, room.packed.data(), length)) fail("the file could not be read");
    return room.packed.data();
  }
  if (frame.deflated_at > file.size()) fail("the file changed while it was read");
  const std::uint64_t size = file.size() - frame.deflated_at;
  if (begin + length < begin || begin + length > size * 1032)
    fail("the deflated data set is shorter than its header says");
  std::vector<Byte> deflated(size);
  if (!file.read(frame.deflated_at, deflated.data(), size)) fail("the file could not be read");
  room.packed.clear();
  const Inflated state = inflate(deflated.data(), size, room.packed, begin + length);
  if (room.packed.size() < begin + length)
    fail(state == Inflated::damaged ? "the deflated data set is damaged"
                                    : "the deflated data set is shorter than its header says");
  return room.packed.data() + begin;
}

// An encapsulated frame's fragments end to end, read to where `room(bytes)` says.
template <class MakeRoom>
void collect(const Frame& frame, MakeRoom&& room) {
  File file;
  open(file, frame.path);
  std::vector<Span> spans = frame.spans;
  if (spans.empty()) {  // one frame in the file
    if (frame.offset > file.size()) fail("the pixel data lie outside the file");
    std::vector<Byte> window;
    Source source(file, window, Source::kPage);
    spans = std::move(frame_spans(source, frame.offset, false, 1, {}, {})[0]);
  }
  std::uint64_t total = 0;
  for (const Span& span : spans) {
    if (!within(span.offset, span.length, file.size())) fail("a fragment of the pixel data is cut off");
    total += span.length;
  }
  Byte* to = room(total);
  for (const Span& span : spans) {
    if (!file.read(span.offset, to, span.length)) fail("the file could not be read");
    to += span.length;
  }
}

void collect(const Frame& frame, std::vector<Byte>& to) {
  collect(frame, [&](std::uint64_t bytes) {
    to.resize(bytes);
    return to.data();
  });
}

void decode_one(const Frame& frame, void* out, Type to, bool past_caches) {
  Room& room = room_of_thread();
  const Layout& layout = frame.layout;
  const unsigned width = size_of(layout.type);
  const std::uint64_t values = layout.pixels * layout.samples, bytes = values * width;
  const Byte* stored = nullptr;
  switch (layout.packing) {
    case Packing::native: {
      // Pairs of 8-bit samples are swapped over the whole element: an odd frame begins or ends within a pair.
      const std::uint64_t begin = frame.index * bytes, shift = layout.swap_pairs ? begin % 2 : 0;
      const std::uint64_t padded = layout.swap_pairs ? (bytes + shift + 1) / 2 * 2 : bytes;
      stored = native_bytes(frame, begin - shift, padded, room);
      if (layout.swap_pairs) {
        swap_words(room.packed.data() + (stored - room.packed.data()), padded, 2);
        stored += shift;
      } else if (layout.swap) {
        swap_words(room.packed.data() + (stored - room.packed.data()), bytes, width);
      }
      if (layout.planar && layout.samples > 1) {
        room.stored.resize(bytes);
        interleave(stored, room.stored.data(), layout.pixels, layout.samples, width);
        stored = room.stored.data();
      } else if (reinterpret_cast<std::uintptr_t>(stored) % width) {  // within an inflated data set
        room.stored.assign(stored, stored + bytes);
        stored = room.stored.data();
      }
      break;
    }
    case Packing::bits: {
      const std::uint64_t first = frame.index * values;
      const Byte* bits = native_bytes(frame, first / 8, (first % 8 + values + 7) / 8, room);
      room.stored.resize(values);
      expand_bits(bits, first % 8, room.stored.data(), values);
      stored = room.stored.data();
      break;
    }
    case Packing::ybr422: {
      const std::uint64_t length = layout.pixels * 2;
      room.stored.resize(bytes);
      expand_422(native_bytes(frame, frame.index * length, length, room), room.stored.data(), layout.pixels);
      stored = room.stored.data();
      break;
    }
    case Packing::jpeg_lossless:
      fail("not one frame alone");
    case Packing::rle: {
      collect(frame, room.packed);
      // A PackBits byte yields at most 128: a header that claims more than that is not believed.
      if (bytes / 128 > room.packed.size() + 64) fail("the RLE data are too short for rows and columns");
      if (room.stored.size() < bytes + 16) room.stored.resize(bytes + 16);
      const char* problem = rle_frame(room.packed.data(), room.packed.size(), layout.pixels, layout.samples, width,
                                      room.stored.data(), room.planes);
      if (problem) fail(problem);
      stored = room.stored.data();
      break;
    }
  }
  Byte* target = static_cast<Byte*>(out) + frame.slice * values * size_of(to);
  rescale(stored, layout.type, target, to, static_cast<std::int64_t>(values), frame.rescale, past_caches);
  room.drop_if_large();
}

// Up to kTogether frames of lossless JPEG. Those of one size are decoded in turns.
class LosslessGroup {
 public:
  void run(const Frame* const* frames, int count, void* out, Type to, bool past_caches, const char** problems) {
    past_caches_ = past_caches;
    JpegLossless* alike[JpegLossless::kTogether];
    int places[JpegLossless::kTogether], n = 0;
    for (int i = 0; i < count; ++i) {
      problems[i] = open(*frames[i], i);
      if (problems[i]) continue;
      if (n && !decoders_[places[0]].fits(decoders_[i])) {
        problems[i] = alone(*frames[i], i, out, to);
        continue;
      }
      places[n] = i;
      alike[n++] = &decoders_[i];
    }
    if (n == 1) {
      problems[places[0]] = alone(*frames[places[0]], places[0], out, to);
    } else if (n > 1) {
      bool alive[JpegLossless::kTogether] = {true, true, true, true};
      JpegLossless::Rows rows[JpegLossless::kTogether];
      for (bool more = true; more;) {
        JpegLossless::next(alike, n, rows, alive);
        more = false;
        for (int k = 0; k < n; ++k) {
          if (alive[k]) place(*frames[places[k]], rows[k], out, to);
          more |= alive[k];
        }
      }
      for (int k = 0; k < n; ++k) problems[places[k]] = alike[k]->problem();
    }
    for (std::vector<Byte>& bytes : packed_)
      if (bytes.capacity() > Room::kKeep) bytes = {};
  }

 private:
  const char* open(const Frame& frame, int i) {
    const Layout& layout = frame.layout;
    const unsigned width = size_of(layout.type);
    if (layout.columns == 0 || layout.pixels % layout.columns || width > 2) return "not an image of lossless JPEG";
    try {
      collect(frame, packed_[i]);
    } catch (const std::runtime_error&) {
      return "the compressed frame cannot be read";
    }
    const char* problem =
        decoders_[i].open(packed_[i].data(), packed_[i].size(),
                          static_cast<std::uint32_t>(layout.pixels / layout.columns), layout.columns, layout.samples);
    if (!problem && decoders_[i].width() != width && (width == 1 || layout.type == Type::i16))
      return "the JPEG codestream's samples are not those that are allocated";
    return problem;
  }

  const char* alone(const Frame& frame, int i, void* out, Type to) {
    JpegLossless::Rows rows;
    while (decoders_[i].next(rows)) {
      place(frame, rows, out, to);
      if (frame.layout.samples > 1) break;
    }
    return decoders_[i].problem();
  }

  void place(const Frame& frame, const JpegLossless::Rows& rows, void* out, Type to) {
    const Layout& layout = frame.layout;
    const void* stored = rows.values;
    const bool is_signed = layout.type == Type::i8 || layout.type == Type::i16;
    Type type = is_signed ? Type::i16 : Type::u16;
    if (size_of(layout.type) == 1) {  // samples of at most 8 bits, their sign in the eighth
      narrow_.resize(rows.count);
      for (std::uint64_t i = 0; i < rows.count; ++i) narrow_[i] = static_cast<Byte>(rows.values[i]);
      stored = narrow_.data();
      type = is_signed ? Type::i8 : Type::u8;
    }
    Byte* target = static_cast<Byte*>(out) + (frame.slice * layout.pixels * layout.samples + rows.first) * size_of(to);
    rescale(stored, type, target, to, static_cast<std::int64_t>(rows.count), frame.rescale, past_caches_);
  }

  JpegLossless decoders_[JpegLossless::kTogether];
  std::vector<Byte> packed_[JpegLossless::kTogether];
  std::vector<Byte> narrow_;
  bool past_caches_ = false;
};

LosslessGroup& lossless_of_thread() {
  static thread_local std::unique_ptr<LosslessGroup> group;
  if (!group) group = std::make_unique<LosslessGroup>();
  return *group;
}

}  // namespace

void frame_bytes(const Frame& frame, const std::function<Byte*(std::uint64_t)>& room) { collect(frame, room); }

std::vector<Failure> decode(const std::vector<Frame>& frames, void* out, Type to, int threads) {
  std::vector<Failure> failures;
  std::mutex mutex;
  const auto failed = [&](std::size_t frame, const char* message) {
    std::lock_guard<std::mutex> lock(mutex);
    failures.push_back({frame, message});
  };
  std::uint64_t bytes = 0;
  for (const Frame& frame : frames) bytes += frame.layout.pixels * frame.layout.samples * size_of(to);
  const bool past_caches = bytes > kCached;
  std::vector<std::size_t> lossless, others;
  for (std::size_t i = 0; i < frames.size(); ++i)
    (frames[i].layout.packing == Packing::jpeg_lossless ? lossless : others).push_back(i);
  cpu::parallel_for(static_cast<std::int64_t>(others.size()), 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::size_t frame = others[static_cast<std::size_t>(i)];
      try {
        decode_one(frames[frame], out, to, past_caches);
      } catch (const std::exception& error) {
        failed(frame, error.what());
      }
    }
  });
  if (!lossless.empty()) {
    const auto workers = static_cast<std::size_t>(std::max(1, threads > 0 ? threads : cpu::api().threads()));
    const auto count = static_cast<std::int64_t>(lossless.size());
    const std::int64_t group =
        std::clamp<std::int64_t>(count / static_cast<std::int64_t>(workers), 1, JpegLossless::kTogether);
    cpu::parallel_for(count, group, threads, [&](std::int64_t begin, std::int64_t end) {
      const Frame* list[JpegLossless::kTogether];
      const char* problems[JpegLossless::kTogether] = {nullptr};
      const int n = static_cast<int>(end - begin);
      for (int k = 0; k < n; ++k) list[k] = &frames[lossless[static_cast<std::size_t>(begin + k)]];
      try {
        lossless_of_thread().run(list, n, out, to, past_caches, problems);
      } catch (const std::exception& error) {
        for (const char*& problem : problems) problem = "the frames do not fit into memory";
      }
      for (int k = 0; k < n; ++k)
        if (problems[k]) failed(lossless[static_cast<std::size_t>(begin + k)], problems[k]);
    });
  }
  std::sort(failures.begin(), failures.end(), [](const Failure& a, const Failure& b) { return a.frame < b.frame; });
  return failures;
}

}  // namespace fastimg::dicom
