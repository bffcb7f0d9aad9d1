// fastimg._core: the thread pool, the ISA level, the capsule through which the other modules reach both, and the memory
// of large results.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <cstring>

#include "cpu/finite.hpp"
#include "cpu/pages.hpp"
#include "cpu/pool.hpp"

namespace py = pybind11;
namespace cpu = fastimg::cpu;

namespace {

const cpu::Api table{cpu::kApiVersion, cpu::run, cpu::level, cpu::threads};

// A compiled function of a user (numba.cfunc): tile(arrays, begin, end) over flat, contiguous arrays of equal length.
using Tile = void (*)(void** arrays, std::int64_t begin, std::int64_t end);

void run_tiles(std::uintptr_t address, const std::vector<std::uintptr_t>& arrays, std::int64_t count,
               std::int64_t grain, int threads) {
  const auto tile = reinterpret_cast<Tile>(address);
  std::vector<void*> pointers;
  for (const std::uintptr_t array : arrays) pointers.push_back(reinterpret_cast<void*>(array));
  py::gil_scoped_release release;
  cpu::parallel_for(count, grain, threads,
                    [&](std::int64_t begin, std::int64_t end) { tile(pointers.data(), begin, end); });
}

// Of an array of float32 (4 bytes) or float64 values, which the caller keeps.
bool all_finite(std::uintptr_t address, std::int64_t count, int size, int threads) {
  py::gil_scoped_release release;
  return size == 4 ? cpu::finite(reinterpret_cast<const float*>(address), count, threads)
                   : cpu::finite(reinterpret_cast<const double*>(address), count, threads);
}

// NumPy's interface for memory of arrays (NEP 49), whose header pybind11 does without; so does this.
struct Handler {
  char name[127];
  std::uint8_t version;
  void* context;
  void* (*malloc)(void*, std::size_t);
  void* (*calloc)(void*, std::size_t, std::size_t);
  void* (*realloc)(void*, void*, std::size_t);
  void (*free)(void*, void*, std::size_t);
};

void* take(void*, std::size_t bytes) {
  try {
    return cpu::take_pages(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void give(void*, void* block, std::size_t) {
  if (!cpu::give_pages(block)) std::free(block);
}

void* resize(void* context, void* block, std::size_t bytes) {
  const std::size_t before = cpu::pages_of(block);
  if (!before) return std::realloc(block, bytes);
  void* const other = std::malloc(bytes ? bytes : 1);
  if (!other) return nullptr;
  std::memcpy(other, block, before < bytes ? before : bytes);
  give(context, block, before);
  return other;
}

Handler handler{
    "fastimg", 1,   nullptr, take, [](void*, std::size_t n, std::size_t size) { return std::calloc(n, size); },
    resize,    give};

using SetHandler = PyObject* (*)(PyObject*);
SetHandler handler_setter() {
  const py::capsule table = py::module_::import("numpy._core._multiarray_umath").attr("_ARRAY_API");
  return reinterpret_cast<SetHandler>(table.get_pointer<void*>()[304]);  // a place of NumPy's binary interface
}

// make(shape, dtype), that is numpy.empty, with memory of ours, which the array owns like any other.
py::object empty(const py::object& make, const py::object& shape, const py::object& dtype) {
  static const SetHandler set = handler_setter();
  static PyObject* const ours = py::capsule(&handler, "mem_handler").release().ptr();
  struct Ours {
    PyObject* const before = set(ours);
    ~Ours() {
      if (before) Py_XDECREF(set(before));
      Py_XDECREF(before);
    }
  } while_made;
  if (!while_made.before) throw py::error_already_set();
  return make(shape, dtype);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  cpu::imported = &table;
  module.doc() = "Thread pool and instruction-set level shared by all compiled modules; memory of large results.";
  module.attr("_api") = py::capsule(&table, "fastimg._core._api");
  module.def("supported_level", [] { return static_cast<int>(cpu::supported()); });
  module.def("level", [] { return static_cast<int>(cpu::level()); });
  module.def("set_level", [](int level) { cpu::set_level(static_cast<cpu::Level>(level)); });
  module.def("threads", &cpu::threads);
  module.def("set_threads", &cpu::set_threads);
  module.def("run_tiles", &run_tiles);
  module.def("finite", &all_finite);
  module.def("empty", &empty);
  module.def("kept", &cpu::kept);
  module.def("kept_limit", &cpu::kept_limit);
  module.def("set_kept_limit", &cpu::set_kept_limit);
}
