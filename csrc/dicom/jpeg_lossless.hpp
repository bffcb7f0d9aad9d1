// Lossless JPEG (ITU-T T.81 annex H, process 14): Huffman-coded differences to one of seven predictors.
//
// What is decoded here has the bits that libjpeg-turbo gives. Anything unusual (other processes, subsampling, DNL,
// markers out of order) is refused with a sentence, and the caller asks a general codec. Differences that are missing
// or have no code are an error (kCut): libjpeg-turbo would fill them in without a word.
#pragma once

#include <cstdint>
#include <vector>

#include "dicom/bytes.hpp"
#include "dicom/jpeg_stream.hpp"

namespace fastimg::dicom {

class JpegLossless {
 public:
  static constexpr const char* kCut = "the lossless JPEG data are damaged or cut off";
  static constexpr int kTogether = 4;  // frames that are decoded in turns, to hide the latency of one behind the others

  // Reads the markers up to the first scan. Null, or why this decoder does not take the frame. The bytes must stay.
  const char* open(const Byte* data, std::uint64_t size, std::uint32_t rows, std::uint32_t columns,
                   std::uint32_t samples);

  // Samples above 8 bits are 16-bit words, others bytes.
  unsigned width() const { return precision_ > 8 ? 2 : 1; }

  // A run of complete rows, sample-interleaved, in 16-bit words whatever the precision (bytes are cut to 8 bits).
  struct Rows {
    const std::uint16_t* values = nullptr;
    std::uint64_t first = 0, count = 0;  // values, from the frame's begin
  };
  // The next rows of the frame; false at its end or where problem() says what is wrong.
  bool next(Rows& rows);
  const char* problem() const { return problem_; }

  // As next() for several frames at once, which fits() says go together; each may fail alone.
  static void next(JpegLossless* const* frames, int count, Rows* rows, bool* alive);
  bool fits(const JpegLossless& other) const;

 private:
  struct Component {
    std::uint8_t id = 0, table = 0;
    bool done = false;
  };

  bool fail(const char* problem) {
    problem_ = problem;
    return false;
  }
  bool read_markers();
  bool read_tables(const Byte* segment, std::uint64_t size);
  bool read_frame(const Byte* segment, std::uint64_t size);
  bool read_scan(const Byte* segment, std::uint64_t size);
  bool begin_segment();
  bool begin_rows();
  bool finish_rows(Rows& rows);
  bool whole_frame(Rows& rows);

  const Byte *at_ = nullptr, *end_ = nullptr;
  std::uint32_t rows_ = 0, columns_ = 0, samples_ = 0;
  unsigned precision_ = 0, shift_ = 0, predictor_ = 0;
  std::uint32_t restart_values_ = 0, interval_ = 0;  // pixels and rows between restarts, 0: none
  unsigned restart_ = 0, known_ = 0;  // number of the next restart; bits of tables that the frame defines
  bool frame_seen_ = false;
  Component components_[4];
  int scan_[4] = {0}, scan_count_ = 0;  // components of the scan
  JpegTable tables_[4];
  std::vector<Byte> packed_;          // a segment without its stuffing
  std::vector<std::int16_t> deltas_;  // of the rows at hand
  std::vector<std::uint16_t> band_;   // the row above, then the rows at hand
  std::vector<std::uint16_t> output_;
  JpegStream stream_;
  std::uint32_t row_ = 0, segment_end_ = 0;           // next row; where the segment ends
  std::uint32_t band_rows_ = 0, now_ = 0, last_ = 0;  // rows at once, of this turn, of the last one
  bool first_ = true;                                 // the next row has none above it
  const char* problem_ = nullptr;
};

}  // namespace fastimg::dicom
