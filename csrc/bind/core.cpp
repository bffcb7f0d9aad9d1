// fastimg._core: the thread pool, the ISA level, and the capsule through which the other modules reach both.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "cpu/finite.hpp"
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

}  // namespace

PYBIND11_MODULE(_core, module) {
  cpu::imported = &table;
  module.doc() = "Thread pool and instruction-set level shared by all compiled modules.";
  module.attr("_api") = py::capsule(&table, "fastimg._core._api");
  module.def("supported_level", [] { return static_cast<int>(cpu::supported()); });
  module.def("level", [] { return static_cast<int>(cpu::level()); });
  module.def("set_level", [](int level) { cpu::set_level(static_cast<cpu::Level>(level)); });
  module.def("threads", &cpu::threads);
  module.def("set_threads", &cpu::set_threads);
  module.def("run_tiles", &run_tiles);
  module.def("finite", &all_finite);
}
