#include "dicom/columns.hpp"

#include <cstring>
#include <limits>
#include <stdexcept>

#include "cpu/pool.hpp"

namespace fastimg::dicom {

Block::Block(int rows) : facts(static_cast<std::size_t>(rows)), rows_(rows) {
  const std::size_t cells = static_cast<std::size_t>(rows) * kFieldCount;
  valid_.assign(cells, 0);
  real_.resize(cells);
  whole_.resize(cells);
  bytes_.resize(kFieldCount);
  lists_.resize(kFieldCount);
}

void Block::text(int field, std::string_view value) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  whole_[at(field)] = static_cast<std::int64_t>(value.size());
  bytes_[static_cast<std::size_t>(field)].append(value);
  for (const char c : value)
    if (static_cast<unsigned char>(c) >= 0x80 || c == 0x1B) {
      foreign_.emplace_back(field, row_);
      break;
    }
}

void Block::real(int field, double value) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  real_[at(field)] = value;
}

void Block::whole(int field, std::int64_t value) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  whole_[at(field)] = value;
}

void Block::reals(int field, const double* values, int count) {
  if (has(field)) return;
  valid_[at(field)] = 1;
  whole_[at(field)] = count;
  auto& list = lists_[static_cast<std::size_t>(field)];
  list.insert(list.end(), values, values + count);
}

std::string_view Block::text_of(int field) const {
  if (!has(field)) return {};
  const std::string& all = bytes_[static_cast<std::size_t>(field)];
  const auto length = static_cast<std::size_t>(whole_[at(field)]);
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
      std::int64_t row = 0, total = 0;
      for (Block& block : blocks) {
        const std::size_t base = field * static_cast<std::size_t>(block.rows());
        for (int r = 0; r < block.rows(); ++r, ++row) {
          const std::size_t cell = base + static_cast<std::size_t>(r), at = static_cast<std::size_t>(row);
          const bool valid = block.valid_[cell];
          column.bitmap[at / 8] = static_cast<std::uint8_t>(column.bitmap[at / 8] | valid << (at % 8));
          if (lengths) {
            column.offsets[at] = static_cast<std::int32_t>(total);
            total += valid ? block.whole_[cell] : 0;
            if (total > std::numeric_limits<std::int32_t>::max())
              throw std::length_error("a column of the table is above 2 GiB: scan the tree in parts");
          } else if (column.kind == FieldKind::real) {
            column.reals[at] = valid ? block.real_[cell] : 0;
          } else {
            column.wholes[at] = valid ? block.whole_[cell] : 0;
          }
        }
        if (column.kind == FieldKind::text)
          column.bytes.insert(column.bytes.end(), block.bytes_[field].begin(), block.bytes_[field].end());
        if (column.kind == FieldKind::reals)
          column.reals.insert(column.reals.end(), block.lists_[field].begin(), block.lists_[field].end());
        for (const auto& [which, r] : block.foreign_)
          if (which == static_cast<int>(field)) column.foreign.push_back(row - block.rows() + r);
      }
      if (lengths) column.offsets[rows] = static_cast<std::int32_t>(total);
    }
  });
  return table;
}

}  // namespace fastimg::dicom
