// Python's view of dicom/rewrite.hpp; registered by dicom.cpp.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "dicom/rewrite.hpp"

namespace fastimg::dicom {

namespace py = pybind11;

// One thread's rewriter for one profile. What needs thought is asked from four Python functions.
class PyRewriter {
 public:
  // rules: tag -> number of Action. learn(source, uids) -> (words, uids, heads explicit, heads implicit, handle);
  // think(handle, tag, vr, implicit, value, charset, uids) -> (bytes, [(tag, action)]) or None; uid(str) -> str;
  // vr(tag, creator) -> str, "" where it is not known.
  PyRewriter(std::unordered_map<std::uint32_t, int> rules, std::unordered_set<std::uint32_t> pixels,
             std::unordered_set<std::uint32_t> tables, std::unordered_set<std::uint32_t> telling, bool shift_dates,
             bool retain_uids, const py::bytes& meta_tail, py::object learn, py::object think, py::object uid,
             py::object vr)
      : learn_(std::move(learn)),
        think_(std::move(think)),
        uid_(std::move(uid)),
        vr_(std::move(vr)),
        core_(facts(std::move(rules), std::move(pixels), std::move(tables), std::move(telling), shift_dates,
                    retain_uids, meta_tail),
              mind()) {}
  PyRewriter(const PyRewriter&) = delete;

  // (bytes, [(tag, action)]), or None where the file must go the slow way.
  py::object run(const py::bytes& source, bool with_counts) {
    const std::string_view data = source;
    source_ = source;
    Rewritten result;
    const bool done = core_.run(reinterpret_cast<const Byte*>(data.data()), data.size(), result);
    source_ = py::none();
    if (!done) return py::none();
    const std::size_t size = result.size();
    py::object out =
        py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size)));
    if (!out) throw py::error_already_set();
    auto* target = reinterpret_cast<Byte*>(PyBytes_AS_STRING(out.ptr()));
    if (size > (std::size_t{1} << 20)) {
      py::gil_scoped_release release;  // nobody else has seen the new bytes yet; the caller holds the old ones
      result.copy_to(target);
    } else {
      result.copy_to(target);
    }
    py::list counts;
    if (with_counts)
      for (const auto& [tag, action] : result.counts) counts.append(py::make_tuple(tag, static_cast<int>(action)));
    return py::make_tuple(out, counts);
  }

 private:
  struct Known : Patient {
    py::object handle;
  };
  static constexpr std::size_t kPatients = 64;

  static RewriteRules facts(std::unordered_map<std::uint32_t, int> rules, std::unordered_set<std::uint32_t> pixels,
                            std::unordered_set<std::uint32_t> tables, std::unordered_set<std::uint32_t> telling,
                            bool shift_dates, bool retain_uids, const py::bytes& meta_tail) {
    RewriteRules plan;
    for (const auto& [tag, action] : rules) plan.rules[tag] = static_cast<Action>(action);
    plan.pixels = std::move(pixels);
    plan.tables = std::move(tables);
    plan.telling = std::move(telling);
    plan.shift_dates = shift_dates;
    plan.retain_uids = retain_uids;
    plan.meta_tail = std::string(meta_tail);
    return plan;
  }

  static py::bytes bytes(std::string_view text) { return py::bytes(text.data(), text.size()); }
  static py::list listed(const std::vector<std::string_view>& texts) {
    py::list result;
    for (const std::string_view text : texts) result.append(py::str(text.data(), text.size()));
    return result;
  }

  Mind mind() {
    Mind mind;
    mind.patient = [this](std::string_view identity, const std::vector<std::string_view>& uids) -> const Patient* {
      std::string key(identity);
      if (const auto found = patients_.find(key); found != patients_.end()) return found->second.get();
      const py::object told = learn_(source_, listed(uids));
      if (told.is_none()) return nullptr;
      using Heads = std::vector<std::pair<std::uint32_t, std::string>>;
      const py::tuple parts = told;
      auto known = std::make_unique<Known>();
      known->words = parts[0].cast<std::vector<std::string>>();
      known->uids = parts[1].cast<std::unordered_set<std::string>>();
      known->explicit_heads = parts[2].cast<Heads>();
      known->implicit_heads = parts[3].cast<Heads>();
      known->handle = parts[4];
      known->index();
      if (patients_.size() >= kPatients) patients_.clear();
      return (patients_[std::move(key)] = std::move(known)).get();
    };
    mind.think = [this](const Patient& patient, const Question& question, const std::vector<std::string_view>& uids,
                        Thought& thought) {
      const char letters[2] = {static_cast<char>(question.vr & 0xFF), static_cast<char>(question.vr >> 8)};
      const py::object told = think_(static_cast<const Known&>(patient).handle, question.tag, py::str(letters, 2),
                                     question.implicit, bytes(question.value), bytes(question.charset), listed(uids));
      if (told.is_none()) return false;
      const py::tuple parts = told;
      thought.bytes = parts[0].cast<std::string>();
      for (const auto& [tag, action] : parts[1].cast<std::vector<std::pair<std::uint32_t, int>>>())
        thought.counts.emplace_back(tag, static_cast<Action>(action));
      return true;
    };
    mind.uid = [this](std::string_view uid) { return uid_(py::str(uid.data(), uid.size())).cast<std::string>(); };
    mind.vr = [this](std::uint32_t tag, std::string_view creator) -> std::uint16_t {
      const auto name = vr_(tag, bytes(creator)).cast<std::string>();
      if (name.size() == 2) return fastimg::dicom::vr(name[0], name[1]);
      if (name == "US or SS") return kNumberOpen;
      if (name == "OB or OW") return kBulkOpen;
      return name.empty() ? 0 : kTableOpen;
    };
    return mind;
  }

  py::object learn_, think_, uid_, vr_, source_ = py::none();
  std::unordered_map<std::string, std::unique_ptr<Known>> patients_;
  Rewriter core_;
};

inline void register_rewrite(py::module_& module) {
  py::class_<PyRewriter>(module, "Rewriter")
      .def(py::init<std::unordered_map<std::uint32_t, int>, std::unordered_set<std::uint32_t>,
                    std::unordered_set<std::uint32_t>, std::unordered_set<std::uint32_t>, bool, bool, py::bytes,
                    py::object, py::object, py::object, py::object>(),
           py::kw_only(), py::arg("rules"), py::arg("pixels"), py::arg("tables"), py::arg("telling"),
           py::arg("shift_dates"), py::arg("retain_uids"), py::arg("meta_tail"), py::arg("learn"), py::arg("think"),
           py::arg("uid"), py::arg("vr"))
      .def("run", &PyRewriter::run, py::arg("source"), py::arg("with_counts"));
  module.attr("ACTIONS") =
      py::make_tuple("none", "keep", "remove", "empty", "dummy", "uid", "shift", "clean", "recurse");
}

}  // namespace fastimg::dicom
