#include "dicom/columns.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "cpu/pool.hpp"

namespace fastimg::dicom {

Block::Block(int rows) : facts(static_cast<std::size_t>(rows)), rows_(rows) {
  const std::size_t cells = static_cast<std::size_t>(rows) * kFieldCount;
  valid_.assign(cells, 0);
  cells_.reset(new Cell[cells]);
  bytes_.resize(kFieldCount);
  lists_.resize(kFieldCount);
}

namespace {

bool beyond_ascii(std::string_view text) {
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    const std::uint64_t escape = word ^ 0x1B1B1B1B1B1B1B1Bu;  // a zero byte where ESC is
    if ((word | ((escape - 0x0101010101010101u) & ~escape)) & 0x8080808080808080u) return true;
  }
  for (; at < text.size(); ++at)
    if (static_cast<unsigned char>(text[at]) >= 0x80 || text[at] == 0x1B) return true;
  return false;
}

}  // namespace

void Block::text(int field, std::string_view value) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  cells_[at(field)].whole = static_cast<std::int64_t>(value.size());
  std::string& all = bytes_[static_cast<std::size_t>(field)];
  if (all.empty()) all.reserve(std::min<std::size_t>(value.size(), 64) * static_cast<std::size_t>(rows_));
  all.append(value);
  if (beyond_ascii(value)) foreign_.emplace_back(field, row_);
}

void Block::real(int field, double value) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  cells_[at(field)].real = value;
}

void Block::whole(int field, std::int64_t value) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  cells_[at(field)].whole = value;
}

void Block::reals(int field, const double* values, int count) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  cells_[at(field)].whole = count;
  auto& list = lists_[static_cast<std::size_t>(field)];
  if (list.empty())
    list.reserve(std::min<std::size_t>(static_cast<std::size_t>(count), 8) * static_cast<std::size_t>(rows_));
  list.insert(list.end(), values, values + count);
}

std::string_view Block::text_of(int field) const {
  if (!has(field)) return {};
  const std::string& all = bytes_[static_cast<std::size_t>(field)];
  const auto length = static_cast<std::size_t>(cells_[at(field)].whole);
  return std::string_view(all).substr(all.size() - length);
}

Table Table::join(std::vector<Block>& blocks, int threads) {
  Table table;
  std::size_t rows = 0;
  for (const Block& block : blocks) rows += static_cast<std::size_t>(block.rows());
  table.columns.resize(kFieldCount);
  table.facts.reserve(rows);
  for (const Block& block : blocks) table.facts.insert(table.facts.end(), block.facts.begin(), block.facts.end());
  cpu::parallel_for(kFieldCount, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t f = begin; f < end; ++f) {
      const auto field = static_cast<std::size_t>(f);
      Column& column = table.columns[field];
      column.kind = kFields[field].kind;
      const bool lengths = column.kind == FieldKind::text || column.kind == FieldKind::reals;
      column.bitmap.assign((rows + 7) / 8, 0);
      if (lengths) column.offsets.resize(rows + 1);
      if (column.kind == FieldKind::real) column.reals.resize(rows);
      if (column.kind == FieldKind::whole) column.wholes.resize(rows);
      std::size_t row = 0;
      std::int64_t total = 0;
      for (Block& block : blocks) {
        const auto here = static_cast<std::size_t>(block.rows());
        const std::uint8_t* valid = block.valid_.data() + field * here;
        const Block::Cell* cells = block.cells_.get() + field * here;
        for (std::size_t r = 0; r < here; ++r)
          column.bitmap[(row + r) / 8] =
              static_cast<std::uint8_t>(column.bitmap[(row + r) / 8] | valid[r] << ((row + r) % 8));
        if (lengths) {
          for (std::size_t r = 0; r < here; ++r) {
            column.offsets[row + r] = static_cast<std::int32_t>(total);
            if (valid[r]) total += cells[r].whole;
          }
          if (total > std::numeric_limits<std::int32_t>::max())
            throw std::length_error("a column of the table is above 2 GiB: scan the tree in parts");
        } else if (column.kind == FieldKind::real) {
          for (std::size_t r = 0; r < here; ++r)
            if (valid[r]) column.reals[row + r] = cells[r].real;
        } else {
          for (std::size_t r = 0; r < here; ++r)
            if (valid[r]) column.wholes[row + r] = cells[r].whole;
        }
        if (column.kind == FieldKind::text)
          column.bytes.insert(column.bytes.end(), block.bytes_[field].begin(), block.bytes_[field].end());
        if (column.kind == FieldKind::reals)
          column.reals.insert(column.reals.end(), block.lists_[field].begin(), block.lists_[field].end());
        for (const auto& [which, r] : block.foreign_)
          if (which == static_cast<int>(field)) column.foreign.push_back(static_cast<std::int64_t>(row) + r);
        row += here;
      }
      if (lengths) column.offsets[rows] = static_cast<std::int32_t>(total);
    }
  });
  return table;
}

}  // namespace fastimg::dicom
