#include "dicom/jpeg_lossless.hpp"

#include <algorithm>

#include "cpu/pool.hpp"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace fastimg::dicom {
namespace {

constexpr std::uint64_t kBand =
    4096;  // values decoded before their rows are predicted: all of it stays in the L1 cache
constexpr const char* kDamaged = "the JPEG codestream is damaged";
constexpr const char* kCut = JpegLossless::kCut;
constexpr const char* kUnusual = "the JPEG codestream is not a plain lossless one";

std::uint32_t big16(const Byte* p) { return static_cast<std::uint32_t>(p[0] << 8 | p[1]); }

// Bytes of a segment without the zeros stuffed after 0xFF, up to the next marker; `out` has size + 32 bytes of room.
std::uint64_t unstuff(const Byte*& at, const Byte* end, Byte* out) {
  Byte* const begin = out;
  for (;;) {
#ifdef __SSE2__
    while (end - at >= 16) {
      const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), block);
      const int found = _mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(-1)));
      if (found) {
        const int clean = __builtin_ctz(static_cast<unsigned>(found));
        at += clean;
        out += clean;
        break;
      }
      at += 16;
      out += 16;
    }
#endif
    while (at < end && *at != 0xFF) *out++ = *at++;
    if (end - at < 2 || at[1] != 0) return static_cast<std::uint64_t>(out - begin);  // a marker or the end
    *out++ = 0xFF;
    at += 2;
  }
}

}  // namespace

const char* JpegLossless::open(const Byte* data, std::uint64_t size, std::uint32_t rows, std::uint32_t columns,
                               std::uint32_t samples) {
  at_ = data;
  end_ = data + size;
  rows_ = rows;
  columns_ = columns;
  samples_ = samples;
  problem_ = nullptr;
  frame_seen_ = false;
  restart_values_ = 0;
  known_ = 0;
  if (size < 4 || data[0] != 0xFF || data[1] != 0xD8 || rows == 0 || columns == 0) return kUnusual;
  at_ += 2;
  if (!read_markers()) return problem_;
  return nullptr;
}

// Up to a scan's entropy-coded bytes.
bool JpegLossless::read_markers() {
  for (;;) {
    if (end_ - at_ < 4 || at_[0] != 0xFF) return fail(kDamaged);
    const Byte marker = at_[1];
    if (marker == 0xFF) {  // a fill byte
      ++at_;
      continue;
    }
    const bool skipped = (marker >= 0xE0 && marker <= 0xEF) || marker == 0xFE || marker == 0xDB;
    if (!skipped && marker != 0xC3 && marker != 0xC4 && marker != 0xDA && marker != 0xDD) return fail(kUnusual);
    const std::uint64_t length = big16(at_ + 2);
    if (length < 2 || length > static_cast<std::uint64_t>(end_ - at_ - 2)) return fail(kDamaged);
    const Byte* segment = at_ + 4;
    at_ += 2 + length;
    switch (marker) {
      case 0xC3:
        if (!read_frame(segment, length - 2)) return false;
        break;
      case 0xC4:
        if (!read_tables(segment, length - 2)) return false;
        break;
      case 0xDD:
        if (length != 4) return fail(kDamaged);
        restart_values_ = big16(segment);
        break;
      case 0xDA:
        return read_scan(segment, length - 2);
      default:
        break;
    }
  }
}

bool JpegLossless::read_tables(const Byte* segment, std::uint64_t size) {
  while (size) {
    if (size < 17) return fail(kDamaged);
    unsigned codes = 0;
    for (int i = 0; i < 16; ++i) codes += segment[1 + i];
    if (segment[0] > 3 || codes > 256 || codes == 0 || size - 17 < codes) return fail(kUnusual);
    if (!tables_[segment[0]].build(segment + 1, segment + 17, codes)) return fail(kDamaged);
    known_ |= 1u << segment[0];
    segment += 17 + codes;
    size -= 17 + codes;
  }
  return true;
}

bool JpegLossless::read_frame(const Byte* segment, std::uint64_t size) {
  if (frame_seen_ || size < 6 || size != 6 + 3u * segment[5]) return fail(kDamaged);
  frame_seen_ = true;
  precision_ = segment[0];
  if (precision_ < 2 || precision_ > 16) return fail(kDamaged);
  if (big16(segment + 1) != rows_ || big16(segment + 3) != columns_ || segment[5] != samples_ || samples_ > 4)
    return fail("the JPEG codestream is of another size than the header says");
  for (unsigned c = 0; c < samples_; ++c) {
    components_[c] = {segment[6 + 3 * c], 0, false};
    if (segment[7 + 3 * c] != 0x11) return fail(kUnusual);
  }
  return true;
}

bool JpegLossless::read_scan(const Byte* segment, std::uint64_t size) {
  if (!frame_seen_ || size < 1) return fail(kDamaged);
  scan_count_ = segment[0];
  if (scan_count_ < 1 || scan_count_ > 4 || size != 4 + 2u * static_cast<unsigned>(scan_count_)) return fail(kDamaged);
  for (int i = 0; i < scan_count_; ++i) {
    const Byte id = segment[1 + 2 * i], table = segment[2 + 2 * i] >> 4;
    unsigned c = 0;
    while (c < samples_ && (components_[c].id != id || components_[c].done)) ++c;
    if (c == samples_ || table > 3 || !(known_ >> table & 1)) return fail(kDamaged);
    components_[c].done = true;
    components_[c].table = table;
    scan_[i] = static_cast<int>(c);
  }
  const Byte* last = segment + 1 + 2 * scan_count_;
  predictor_ = last[0];
  shift_ = last[2] & 15;
  if (predictor_ < 1 || predictor_ > 7 || last[1] != 0 || last[2] >> 4 != 0 || shift_ >= precision_)
    return fail(kUnusual);
  if (restart_values_ % columns_) return fail(kUnusual);  // T.81 H.1.1: whole rows
  interval_ = restart_values_ / columns_;
  row_ = segment_end_ = 0;
  restart_ = 0;
  const std::uint64_t wide = std::uint64_t{columns_} * static_cast<unsigned>(scan_count_);
  band_rows_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(rows_, std::max<std::uint64_t>(1, kBand / wide)));
  const std::uint64_t values = band_rows_ * wide;
  if (deltas_.size() < values + 8) deltas_.resize(values + 8);
  if (band_.size() < values + wide) band_.resize(values + wide);
  return true;
}

// The bytes up to the next marker; what they must hold at least is known.
bool JpegLossless::begin_segment() {
  if (row_) {
    if (end_ - at_ < 2 || at_[0] != 0xFF || at_[1] != 0xD0 + restart_) return fail(kDamaged);
    restart_ = (restart_ + 1) & 7;
    at_ += 2;
  }
  segment_end_ =
      interval_ ? static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{row_} + interval_, rows_)) : rows_;
  const std::uint64_t wide = std::uint64_t{columns_} * static_cast<unsigned>(scan_count_);
  // A segment ends at its marker at the latest: with restarts, do not make room for all that is left each time.
  const std::uint64_t left = static_cast<std::uint64_t>(end_ - at_);
  const std::uint64_t most = interval_ ? std::min(left, jpeg_padding((segment_end_ - row_) * wide) * 2) : left;
  const std::uint64_t room = most + 32 + jpeg_padding(band_rows_ * wide);
  if (packed_.size() < room) packed_.resize(room);
  const std::uint64_t size = unstuff(at_, at_ + most, packed_.data());
  if ((segment_end_ - row_) * wide > 8 * size) return fail(kCut);  // a difference takes a bit at least
  stream_.start(packed_.data(), packed_.data() + size);
  first_ = true;
  return true;
}

bool JpegLossless::begin_rows() {
  if (row_ == segment_end_ && !begin_segment()) return false;
  now_ = std::min(band_rows_, segment_end_ - row_);
  stream_.out = deltas_.data();
  stream_.table = &tables_[components_[scan_[0]].table];
  return true;
}

bool JpegLossless::next(Rows& rows) {
  JpegLossless* const self = this;
  bool alive = true;
  if (samples_ > 1) return row_ == 0 && whole_frame(rows);
  next(&self, 1, &rows, &alive);
  return alive;
}

bool JpegLossless::fits(const JpegLossless& other) const {
  return samples_ == 1 && other.samples_ == 1 && rows_ == other.rows_ && columns_ == other.columns_ &&
         interval_ == other.interval_;
}

void JpegLossless::next(JpegLossless* const* frames, int count, Rows* rows, bool* alive) {
  const JpegLoops& loops = FASTIMG_PICK(jpeg_loops);
  JpegStream* streams[2][kTogether];
  int waiting[2] = {0, 0};
  std::int64_t values = 0;
  for (int i = 0; i < count; ++i) {
    JpegLossless& frame = *frames[i];
    alive[i] = alive[i] && frame.row_ < frame.rows_ && frame.begin_rows();
    if (!alive[i]) continue;
    values = static_cast<std::int64_t>(frame.now_) * frame.columns_;
    const int kind = frame.stream_.table->several(count);
    streams[kind][waiting[kind]++] = &frame.stream_;
  }
  for (int kind = 0; kind < 2; ++kind)
    for (int at = 0; at < waiting[kind];) {
      const int left = waiting[kind] - at, together = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      (kind ? loops.several : loops.plain)[together](streams[kind] + at, values);
      at += together;
    }
  for (int i = 0; i < count; ++i)
    if (alive[i]) alive[i] = frames[i]->finish_rows(rows[i]);
}

bool JpegLossless::finish_rows(Rows& rows) {
  if (stream_.bad || stream_.overrun()) return fail(kCut);
  const JpegLoops& loops = FASTIMG_PICK(jpeg_loops);
  std::uint16_t* out = band_.data() + columns_;
  if (row_ && !first_) std::copy_n(band_.data() + std::uint64_t{last_} * columns_, columns_, band_.data());
  for (std::uint32_t r = 0; r < now_; ++r, out += columns_) {
    std::int16_t* deltas = deltas_.data() + std::uint64_t{r} * columns_;
    if (first_)
      loops.first_row(static_cast<std::uint16_t>(1u << (precision_ - shift_ - 1)), deltas, out, columns_);
    else
      loops.row(static_cast<int>(predictor_), deltas, out - columns_, out, columns_);
    first_ = false;
  }
  last_ = now_;
  rows.first = std::uint64_t{row_} * columns_;
  rows.count = std::uint64_t{now_} * columns_;
  rows.values = band_.data() + columns_;
  if (shift_) {
    if (output_.size() < rows.count) output_.resize(rows.count);
    for (std::uint64_t i = 0; i < rows.count; ++i) output_[i] = static_cast<std::uint16_t>(rows.values[i] << shift_);
    rows.values = output_.data();
  }
  row_ += now_;
  return true;
}

// Several components, in one scan or in several: into one block, sample-interleaved.
bool JpegLossless::whole_frame(Rows& rows) {
  const JpegLoops& loops = FASTIMG_PICK(jpeg_loops);
  const std::uint64_t pixels = std::uint64_t{rows_} * columns_;
  if (pixels > 8 * static_cast<std::uint64_t>(end_ - at_)) return fail(kDamaged);
  output_.resize(pixels * samples_);
  for (unsigned done = 0;;) {
    const auto several = static_cast<unsigned>(scan_count_);
    std::vector<std::uint16_t> lines(std::uint64_t{2} * columns_ * several);
    std::vector<std::int16_t> deltas(columns_);
    while (row_ < rows_) {
      if (!begin_rows()) return false;
      bool same = true;
      for (unsigned i = 1; i < several; ++i) same &= components_[scan_[i]].table == components_[scan_[0]].table;
      const std::uint64_t values = std::uint64_t{now_} * columns_ * several;
      if (same) {
        JpegStream* stream = &stream_;
        (stream_.table->several(1) ? loops.several : loops.plain)[1](&stream, static_cast<std::int64_t>(values));
      } else {
        for (std::uint64_t i = 0; i < values; i += several)
          for (unsigned s = 0; s < several; ++s) {
            stream_.table = &tables_[components_[scan_[s]].table];
            *stream_.out++ = stream_.slow();
          }
      }
      if (stream_.bad || stream_.overrun()) return fail(kCut);
      for (std::uint32_t r = 0; r < now_; ++r, ++row_) {
        for (unsigned s = 0; s < several; ++s) {
          const std::int16_t* from = deltas_.data() + std::uint64_t{r} * columns_ * several + s;
          for (std::uint32_t i = 0; i < columns_; ++i) deltas[i] = from[std::uint64_t{i} * several];
          std::uint16_t* line = lines.data() + (2 * s + (row_ & 1)) * std::uint64_t{columns_};
          const std::uint16_t* above = lines.data() + (2 * s + (~row_ & 1)) * std::uint64_t{columns_};
          if (first_)
            loops.first_row(static_cast<std::uint16_t>(1u << (precision_ - shift_ - 1)), deltas.data(), line, columns_);
          else
            loops.row(static_cast<int>(predictor_), deltas.data(), above, line, columns_);
          std::uint16_t* to = output_.data() + std::uint64_t{row_} * columns_ * samples_ + scan_[s];
          for (std::uint32_t i = 0; i < columns_; ++i)
            to[std::uint64_t{i} * samples_] = static_cast<std::uint16_t>(line[i] << shift_);
        }
        first_ = false;
      }
    }
    done += several;
    if (done == samples_) break;
    if (!read_markers()) return false;
  }
  rows = {output_.data(), 0, pixels * samples_};
  return true;
}

}  // namespace fastimg::dicom
