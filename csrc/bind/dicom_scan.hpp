#pragma once

#include <string>

#include "bind/dicom_arrays.hpp"
#include "dicom/groups.hpp"
#include "dicom/inflate.hpp"
#include "dicom/part10.hpp"
#include "dicom/scan.hpp"

namespace fastimg::dicom {

inline std::vector<std::uint8_t> bitmap_of(const std::vector<Fact>& facts, bool (*valid)(const Fact&)) {
  std::vector<std::uint8_t> bits((facts.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < facts.size(); ++i)
    if (valid(facts[i])) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
  return bits;
}

// (validity, offsets, bytes) of a column of static texts; null where there is none.
template <class Text>
py::tuple text_column(const std::vector<Fact>& facts, Text text) {
  std::vector<std::int32_t> offsets{0};
  std::vector<std::uint8_t> valid((facts.size() + 7) / 8, 0);
  std::string bytes;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (const char* value = text(facts[i])) {
      bytes += value;
      valid[i / 8] = static_cast<std::uint8_t>(valid[i / 8] | 1u << (i % 8));
    }
    offsets.push_back(static_cast<std::int32_t>(bytes.size()));
  }
  return py::make_tuple(owned(std::move(valid)), owned(std::move(offsets)),
                        owned(std::vector<char>(bytes.begin(), bytes.end())));
}

template <class T, class Value>
py::array_t<T> fact_array(const std::vector<Fact>& facts, Value value) {
  std::vector<T> values(facts.size());
  for (std::size_t i = 0; i < facts.size(); ++i) values[i] = static_cast<T>(value(facts[i]));
  return owned(std::move(values));
}

// {"fields": [(name, kind, validity, offsets, values, rows beyond ASCII)], "path": ..., "size": ... }
inline py::dict scanned(const std::string& root, std::vector<Entry> entries, int threads) {
  Table table;
  {
    py::gil_scoped_release release;
    table = scan(root, entries, threads);
  }
  py::list fields;
  for (int f = 0; f < kFieldCount; ++f) {
    Column& column = table.columns[static_cast<std::size_t>(f)];
    static constexpr const char* kinds[] = {"text", "real", "whole", "reals"};
    py::object values;
    switch (column.kind) {
      case FieldKind::text:
        values = owned(std::move(column.bytes));
        break;
      case FieldKind::whole:
        values = owned(std::move(column.wholes));
        break;
      default:
        values = owned(std::move(column.reals));
    }
    fields.append(py::make_tuple(kFields[f].name, kinds[static_cast<int>(column.kind)], owned(std::move(column.bitmap)),
                                 owned(std::move(column.offsets)), values, owned(std::move(column.foreign))));
  }
  const auto& facts = table.facts;
  static constexpr const char* statuses[] = {"image", "mask", "other", "skipped", "damaged"};
  std::vector<std::int32_t> offsets{0};
  std::vector<char> paths;
  for (const Entry& entry : entries) {
    paths.insert(paths.end(), entry.path.begin(), entry.path.end());
    if (paths.size() > 0x7FFFFFFF) throw std::length_error("the paths are above 2 GiB: scan the tree in parts");
    offsets.push_back(static_cast<std::int32_t>(paths.size()));
  }
  py::dict result;
  result["fields"] = fields;
  result["path"] = py::make_tuple(owned(std::move(offsets)), owned(std::move(paths)));
  result["status"] = text_column(facts, [](const Fact& f) { return statuses[static_cast<int>(f.status)]; });
  result["finding"] = text_column(facts, [](const Fact& f) { return f.finding; });
  result["detail"] = text_column(facts, [](const Fact& f) { return f.detail; });
  result["size"] = fact_array<std::int64_t>(facts, [](const Fact& f) { return f.size; });
  result["pixel_offset"] = fact_array<std::int64_t>(facts, [](const Fact& f) { return f.pixel_offset; });
  result["pixel_length"] = fact_array<std::int64_t>(facts, [](const Fact& f) { return f.pixel_length; });
  result["pixel_element"] = fact_array<std::int32_t>(facts, [](const Fact& f) { return f.pixel_element; });
  result["pixel_words"] = fact_array<std::uint8_t>(facts, [](const Fact& f) { return f.pixel_vr == vr('O', 'W'); });
  result["big_endian"] = fact_array<std::uint8_t>(facts, [](const Fact& f) { return f.big; });
  result["deflated"] = fact_array<std::uint8_t>(facts, [](const Fact& f) { return f.deflated; });
  result["multi_frame"] = fact_array<std::uint8_t>(facts, [](const Fact& f) { return f.segmented; });
  return result;
}

// A tree's files, some at a time.
class TreeScan {
 public:
  explicit TreeScan(const std::string& root) : root_(root), walk_(root) {}
  // As `scanned`; without rows at the end.
  py::dict next(std::size_t most, int threads) {
    std::vector<Entry> entries;
    {
      py::gil_scoped_release release;
      entries = walk_.next(most);
    }
    return scanned(root_, std::move(entries), threads);
  }

 private:
  std::string root_;
  Walk walk_;
};

inline py::dict scan_files(const std::vector<std::string>& paths, int threads) {
  std::vector<Entry> entries;
  for (const std::string& path : paths) entries.push_back({path, EntryKind::file});
  return scanned("", std::move(entries), threads);
}

// One file's data set, in memory where it is deflated.
class DataSet {
 public:
  explicit DataSet(const std::string& path) {
    if (!file_.open(-100 /* AT_FDCWD */, path.c_str())) throw std::runtime_error("the file cannot be opened");
    Source head(file_, room_);
    const Preface preface = read_preface(head);
    if (preface.kind != FileKind::dicom) throw std::runtime_error("the file is not DICOM");
    encoding = preface.encoding;
    begin = preface.data_set;
    deflated = preface.deflated;
    if (!deflated) return;
    std::vector<Byte> packed(file_.size() - begin);
    if (!file_.read(begin, packed.data(), packed.size())) throw std::runtime_error("the file could not be read");
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 30;
    if (inflate(packed.data(), packed.size(), inflated_, kLimit) == Inflated::damaged)
      throw std::runtime_error("the deflated data set is damaged");
    begin = 0;
  }
  Source source() { return deflated ? Source(inflated_.data(), inflated_.size()) : Source(file_, room_); }

  Encoding encoding;
  std::uint64_t begin = 0;
  bool deflated = false;

 private:
  File file_;
  std::vector<Byte> room_, inflated_;
};

inline py::dict groups_of(const std::string& path) {
  Groups groups;
  {
    py::gil_scoped_release release;
    DataSet data(path);
    Source source = data.source();
    groups = read_groups(source, data.begin, data.encoding);
  }
  py::dict result;
  result["frames"] = groups.frames;
  result["position"] = owned(std::move(groups.position));
  result["orientation"] = owned(std::move(groups.orientation));
  result["spacing"] = owned(std::move(groups.spacing));
  result["numbers"] = owned(std::move(groups.numbers));
  py::list types, stacks;
  for (const std::string& text : groups.types) types.append(py::bytes(text));
  for (const std::string& text : groups.stacks) stacks.append(py::bytes(text));
  result["types"] = types;
  result["stacks"] = stacks;
  result["dimensions"] = py::cast(groups.dimensions);
  return result;
}

// (bytes, VR, big endian) of the element at a path of tags, or None.
inline py::object value_of(const std::string& path, const std::vector<std::uint32_t>& tags, std::uint64_t limit) {
  std::vector<Byte> value;
  std::uint16_t found_vr = 0;
  bool found, big;
  {
    py::gil_scoped_release release;
    DataSet data(path);
    Source source = data.source();
    big = data.encoding.big;
    found = !tags.empty() && find_value(source, data.begin, data.encoding, tags, limit, &value, &found_vr);
  }
  if (!found) return py::none();
  const char letters[2] = {static_cast<char>(found_vr & 0xFF), static_cast<char>(found_vr >> 8)};
  return py::make_tuple(py::bytes(reinterpret_cast<const char*>(value.data()), value.size()),
                        found_vr ? py::object(py::str(letters, 2)) : py::object(py::none()), big);
}

inline std::uint64_t data_set_offset(const std::string& path) {
  File file;
  if (!file.open(-100 /* AT_FDCWD */, path.c_str())) throw std::runtime_error("the file cannot be opened");
  std::vector<Byte> room;
  Source source(file, room);
  return read_preface(source).data_set;
}

inline void register_scan(py::module_& module) {
  py::class_<TreeScan>(module, "TreeScan")
      .def(py::init<const std::string&>(), py::arg("root"))
      .def("next", &TreeScan::next, py::arg("most"), py::arg("threads"));
  module.def("scan_files", &scan_files, py::arg("paths"), py::arg("threads"));
  module.def("groups", &groups_of, py::arg("path"));
  module.def("value", &value_of, py::arg("path"), py::arg("tags"), py::arg("limit"));
  module.def("data_set_offset", &data_set_offset, py::arg("path"));
  module.attr("GROUP_NUMBERS") = py::make_tuple(
      "thickness", "slope", "intercept", "echo_time", "b_value", "temporal_index", "in_stack", "segment",
      "inversion_time", "time_offset", "trigger_delay", "cardiac_phase", "slide_row", "slide_column", "slide_depth");
}

}  // namespace fastimg::dicom
