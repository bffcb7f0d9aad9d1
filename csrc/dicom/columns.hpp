// A table's columns while files are scanned: one block a chunk of files, joined in order at the end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dicom/fields.hpp"

namespace fastimg::dicom {

enum class Status : std::uint8_t { image, mask, other, skipped, damaged };

// What a scan says of one file beyond the columns of kFields.
struct Fact {
  std::uint64_t size = 0;
  Status status = Status::skipped;
  const char* finding = nullptr;                      // a code of fastimg.findings, static text
  const char* detail = nullptr;                       // static text
  std::int64_t pixel_offset = -1, pixel_length = -1;  // length -1: encapsulated, or none
  std::int32_t pixel_element = 0;                     // 0x10, 0x08 or 0x09 of group 7FE0
  std::uint16_t pixel_vr = 0;
  bool deflated = false, big = false, segmented = false;  // segmented: functional groups are present
};

class Block {
 public:
  explicit Block(int rows);

  void begin(int row) { row_ = row; }
  bool has(int field) const { return valid_[at(field)] != 0; }
  void text(int field, std::string_view value);
  void real(int field, double value);
  void whole(int field, std::int64_t value);
  void reals(int field, const double* values, int count);
  std::int64_t whole_of(int field, std::int64_t missing) const {
    return has(field) ? cells_[at(field)].whole : missing;
  }
  std::string_view text_of(int field) const;  // of the current row, if it was the last one written

  int rows() const { return rows_; }
  std::vector<Fact> facts;

 private:
  friend struct Table;
  std::size_t at(int field) const {
    return static_cast<std::size_t>(field) * static_cast<std::size_t>(rows_) + static_cast<std::size_t>(row_);
  }

  int rows_, row_ = 0;
  std::vector<std::uint8_t> valid_;  // field-major
  union Cell {
    double real;
    std::int64_t whole;  // for text and lists their length
  };
  std::unique_ptr<Cell[]> cells_;   // as valid_; not initialised
  std::vector<std::string> bytes_;  // text values of a field, end to end
  std::vector<std::vector<double>> lists_;
  std::vector<std::pair<int, int>> foreign_;  // (field, row) of text with bytes beyond ASCII
};

// The joined columns, laid out as Arrow wants them.
struct Column {
  FieldKind kind;
  std::vector<std::uint8_t> bitmap;   // validity, least significant bit first
  std::vector<std::int32_t> offsets;  // text and lists: rows + 1
  std::vector<char> bytes;            // text
  std::vector<double> reals;          // real and lists
  std::vector<std::int64_t> wholes;
  std::vector<std::int64_t> foreign;  // rows whose text is not ASCII
};

struct Table {
  std::vector<Column> columns;
  std::vector<Fact> facts;
  static Table join(std::vector<Block>& blocks, int threads);
};

}  // namespace fastimg::dicom
