// fastimg.resampling._native: plans that are made once and run over many volumes. Arguments are checked in Python.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "bind/capi.hpp"
#include "resampling/nearest.hpp"
#include "resampling/separable.hpp"

namespace py = pybind11;
namespace rs = fastimg::resampling;

namespace {

using Ints = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;
using Reals = py::array_t<double, py::array::c_style | py::array::forcecast>;

rs::Kind kind_of(const py::array& array) {
  const char kind = array.dtype().kind();
  const auto size = array.itemsize();
  if (kind == 'f') {
    if (size == 4) return rs::Kind::f32;
    if (size == 8) return rs::Kind::f64;
  }
  if (kind == 'i' || kind == 'u') {
    const int step = size == 1 ? 0 : size == 2 ? 2 : size == 4 ? 4 : 6;
    return static_cast<rs::Kind>(step + (kind == 'u'));
  }
  throw std::invalid_argument("resampling: unsupported dtype");
}

// The last three axes of a contiguous array; leading ones are looped over.
std::int64_t volumes_of(const py::array& array, std::int64_t z, std::int64_t y, std::int64_t x) {
  const auto axes = array.ndim();
  if (axes < 3 || array.shape(axes - 3) != z || array.shape(axes - 2) != y || array.shape(axes - 1) != x ||
      !(array.flags() & py::array::c_style))
    throw std::invalid_argument("resampling: the array does not fit the plan");
  std::int64_t count = 1;
  for (py::ssize_t axis = 0; axis + 3 < axes; ++axis) count *= array.shape(axis);
  return count;
}

void check_range(std::int64_t first, std::int64_t taps, std::int64_t in) {
  if (first < 0 || first + taps > in) throw std::invalid_argument("resampling: a table reaches outside the volume");
}

// (in, low, high, linear, first (out,), weight (taps, out))
template <class C>
rs::Axis<C> axis_of(const py::tuple& table) {
  rs::Axis<C> axis;
  axis.in = table[0].cast<std::int64_t>();
  axis.low = table[1].cast<std::int64_t>();
  axis.high = table[2].cast<std::int64_t>();
  axis.linear = table[3].cast<bool>();
  const auto first = table[4].cast<Ints>();
  const auto weight = table[5].cast<Reals>();
  axis.out = first.shape(0);
  axis.taps = axis.linear ? 2 : static_cast<int>(weight.shape(0));
  axis.first.assign(first.data(), first.data() + first.size());
  axis.weight.assign(weight.data(), weight.data() + weight.size());
  if (weight.ndim() != 2 || weight.shape(1) != axis.out || axis.out < 1 || axis.low < 0 || axis.high > axis.out ||
      (axis.linear && weight.shape(0) != 1))
    throw std::invalid_argument("resampling: a table is malformed");
  for (std::int64_t o = 0; o < axis.out; ++o)
    check_range(axis.first[o], axis.linear ? 1 + (axis.weight[o] != C(0)) : axis.taps, axis.in);
  return axis;
}

struct Run {
  const char* in;
  char* out;
  std::int64_t volumes;
};

Run run_of(const py::array& in, py::array& out, const std::int64_t (&from)[3], const std::int64_t (&to)[3]) {
  const std::int64_t volumes = volumes_of(in, from[0], from[1], from[2]);
  if (volumes_of(out, to[0], to[1], to[2]) != volumes) throw std::invalid_argument("resampling: leading axes differ");
  return {static_cast<const char*>(in.data()), static_cast<char*>(out.mutable_data()), volumes};
}

template <class C>
class Separable {
 public:
  Separable(const py::tuple& z, const py::tuple& y, const py::tuple& x)
      : z_(axis_of<C>(z)), y_(axis_of<C>(y)), x_(axis_of<C>(x)), across_(x_) {}

  void run(const py::array& in, py::array out, bool truncate, const py::bytes& outside, int threads) const {
    const rs::Kind from = kind_of(in), to = kind_of(out);
    const Run run = run_of(in, out, {z_.in, y_.in, x_.in}, {z_.out, y_.out, x_.out});
    const std::string voxel = outside;
    if (voxel.size() != static_cast<std::size_t>(out.itemsize())) throw std::invalid_argument("resampling: cval's size");
    const std::int64_t source = z_.in * y_.in * x_.in * in.itemsize(), target = z_.out * y_.out * x_.out * out.itemsize();
    py::gil_scoped_release release;
    for (std::int64_t v = 0; v < run.volumes; ++v)
      rs::separable<C>(run.in + v * source, from, run.out + v * target, to, z_, y_, across_, x_, truncate, voxel.data(),
                       threads);
  }

 private:
  rs::Axis<C> z_, y_, x_;
  rs::Across<C> across_;
};

// (in, low, high, index (out,))
rs::Picks picks_of(const py::tuple& table) {
  rs::Picks picks;
  picks.in = table[0].cast<std::int64_t>();
  picks.low = table[1].cast<std::int64_t>();
  picks.high = table[2].cast<std::int64_t>();
  const auto index = table[3].cast<Ints>();
  picks.out = index.size();
  picks.index.assign(index.data(), index.data() + index.size());
  if (picks.out < 1 || picks.low < 0 || picks.high > picks.out)
    throw std::invalid_argument("resampling: a table is malformed");
  for (const std::int32_t i : picks.index) check_range(i, 1, picks.in);
  return picks;
}

class Nearest {
 public:
  Nearest(const py::tuple& z, const py::tuple& y, const py::tuple& x)
      : z_(picks_of(z)), y_(picks_of(y)), x_(picks_of(x)), blocks_(x_) {}

  void run(const py::array& in, py::array out, const py::bytes& outside, int threads) const {
    const Run run = run_of(in, out, {z_.in, y_.in, x_.in}, {z_.out, y_.out, x_.out});
    const std::int64_t size = in.itemsize();
    const std::string voxel = outside;
    if (out.itemsize() != size || voxel.size() != static_cast<std::size_t>(size))
      throw std::invalid_argument("resampling: dtypes differ");
    const std::int64_t source = z_.in * y_.in * x_.in * size, target = z_.out * y_.out * x_.out * size;
    py::gil_scoped_release release;
    for (std::int64_t v = 0; v < run.volumes; ++v)
      rs::nearest(run.in + v * source, run.out + v * target, size, z_, y_, x_, blocks_, voxel.data(), threads);
  }

 private:
  rs::Picks z_, y_, x_;
  rs::PickBlocks blocks_;
};

template <class C>
void bind_separable(py::module_& module, const char* name) {
  py::class_<Separable<C>>(module, name)
      .def(py::init<const py::tuple&, const py::tuple&, const py::tuple&>())
      .def("run", &Separable<C>::run);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  if (fastimg_import_core() != 0) throw py::error_already_set();
  module.doc() = "Compiled resampling plans.";
  bind_separable<float>(module, "SeparableFloat");
  bind_separable<double>(module, "SeparableDouble");
  py::class_<Nearest>(module, "Nearest")
      .def(py::init<const py::tuple&, const py::tuple&, const py::tuple&>())
      .def("run", &Nearest::run);
}
