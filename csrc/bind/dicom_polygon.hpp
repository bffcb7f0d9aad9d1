// Python's view of dicom/polygon.hpp; registered by dicom.cpp.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "dicom/polygon.hpp"

namespace fastimg::dicom {

namespace py = pybind11;
template <class T>
using Exact = py::array_t<T, py::array::c_style>;

// points (n, 2), starts (contours + 1), first (planes + 1) -> planes x rows x columns of 0 and 1.
inline py::array_t<std::uint8_t> fill_polygons(const Exact<double>& points, const Exact<std::int64_t>& starts,
                                               const Exact<std::int64_t>& first, std::int64_t rows,
                                               std::int64_t columns, int threads) {
  if (points.ndim() != 2 || points.shape(1) != 2 || starts.ndim() != 1 || first.ndim() != 1 || starts.size() < 1 ||
      first.size() < 1 || rows < 0 || columns < 0)
    throw std::invalid_argument("fill_polygons: wrong shapes");
  const auto rising = [](const Exact<std::int64_t>& border, std::int64_t total) {
    if (border.at(0) != 0 || border.at(border.size() - 1) != total) return false;
    for (py::ssize_t i = 1; i < border.size(); ++i)
      if (border.at(i) < border.at(i - 1)) return false;
    return true;
  };
  if (!rising(starts, points.shape(0)) || !rising(first, starts.size() - 1))
    throw std::invalid_argument("fill_polygons: borders must rise from 0 to the number of entries");
  py::array_t<std::uint8_t> out({static_cast<std::int64_t>(first.size() - 1), rows, columns});
  std::fill_n(out.mutable_data(), out.size(), std::uint8_t{0});
  py::gil_scoped_release release;
  fill(points.data(), starts.data(), first.data(), first.size() - 1, rows, columns, out.mutable_data(), threads);
  return out;
}

inline void register_polygon(py::module_& module) {
  module.def("fill_polygons", &fill_polygons, py::arg("points"), py::arg("starts"), py::arg("first"), py::arg("rows"),
             py::arg("columns"), py::arg("threads"));
}

}  // namespace fastimg::dicom
