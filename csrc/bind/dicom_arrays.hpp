// C++ vectors as NumPy arrays that own them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace fastimg::dicom {

namespace py = pybind11;

template <class T>
py::array_t<T> owned(std::vector<T>&& values) {
  auto* held = new std::vector<T>(std::move(values));
  py::capsule owner(held, [](void* pointer) { delete static_cast<std::vector<T>*>(pointer); });
  static T nothing{};
  return py::array_t<T>({held->size()}, {sizeof(T)}, held->empty() ? &nothing : held->data(), owner);
}

}  // namespace fastimg::dicom
