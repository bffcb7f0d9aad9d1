// fastimg.resampling._native: plans that are made once and run over many volumes. Arguments are checked in Python.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bind/capi.hpp"
#include "resampling/label.hpp"
#include "resampling/nearest.hpp"
#include "resampling/oblique.hpp"
#include "resampling/separable.hpp"
#include "resampling/spline.hpp"

namespace py = pybind11;
namespace rs = fastimg::resampling;

namespace {

using Ints = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;
constexpr int kLabel = -1;  // as a degree: votes

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

// float holds voxels of 8 and 16 bits and float32; double holds all.
template <class C>
void check_small(rs::Kind kind) {
  if (sizeof(C) == 4 && kind != rs::Kind::f32 && static_cast<int>(kind) > static_cast<int>(rs::Kind::u16))
    throw std::invalid_argument("resampling: float32 arithmetic does not hold this dtype");
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

// None, or ((slope, intercept, low, high), (shift, scale)), each None where it does nothing.
template <class C>
rs::Fused<C> fused_of(const py::object& values) {
  rs::Fused<C> fused;
  if (values.is_none()) return fused;
  const auto [intake, finish] = values.cast<std::pair<py::object, py::object>>();
  if (!intake.is_none()) {
    const auto [slope, intercept, low, high] = intake.cast<std::array<double, 4>>();
    fused.intake = {1, C(slope), C(intercept), C(low), C(high)};
  }
  if (!finish.is_none()) {
    const auto [shift, scale] = finish.cast<std::array<double, 2>>();
    fused.finish = {1, C(shift), C(scale)};
  }
  return fused;
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

  void run(const py::array& in, py::array out, bool truncate, const py::bytes& outside, const py::object& values,
           int threads) const {
    const rs::Kind from = kind_of(in), to = kind_of(out);
    const rs::Fused<C> fused = fused_of<C>(values);
    check_small<C>(from);
    check_small<C>(to);
    const Run run = run_of(in, out, {z_.in, y_.in, x_.in}, {z_.out, y_.out, x_.out});
    const std::string voxel = outside;
    if (voxel.size() != static_cast<std::size_t>(out.itemsize()))
      throw std::invalid_argument("resampling: cval's size");
    const std::int64_t source = z_.in * y_.in * x_.in * in.itemsize(),
                       target = z_.out * y_.out * x_.out * out.itemsize();
    py::gil_scoped_release release;
    for (std::int64_t v = 0; v < run.volumes; ++v)
      rs::separable<C>(run.in + v * source, from, run.out + v * target, to, z_, y_, across_, x_, fused, truncate,
                       voxel.data(), threads);
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
  rs::PickRow blocks_;
};

template <class C>
class Spline {
 public:
  // poles: ((pole, horizon), ...), at most two.
  Spline(const py::tuple& z, const py::tuple& y, const py::tuple& x, const std::vector<std::pair<double, int>>& poles,
         bool z_first)
      : plan_{rs::SplineAxis<C>(axis_of<C>(z)),
              rs::SplineAxis<C>(axis_of<C>(y)),
              rs::SplineAxis<C>(axis_of<C>(x)),
              {},
              z_first} {
    if (poles.empty() || poles.size() > 2 || plan_.z.linear || plan_.y.linear || plan_.x.linear)
      throw std::invalid_argument("resampling: expected one or two poles and weights");
    rs::Poles<C>& p = plan_.poles;
    p.count = static_cast<int>(poles.size());
    for (int n = 0; n < p.count; ++n) {
      const double pole = poles[n].first;
      if (poles[n].second < 1) throw std::invalid_argument("resampling: a horizon is at least 1");
      p.pole[n] = C(pole), p.start[n] = C(1 / (1 - pole)), p.end[n] = C(-pole / (1 - pole));
      p.horizon[n] = poles[n].second;
    }
  }

  std::int64_t between() const { return plan_.between(); }

  void run(const py::array& in, py::array out, py::array_t<C, py::array::c_style> between, bool truncate,
           const py::bytes& outside, const py::object& values, int threads) const {
    const rs::Kind from = kind_of(in), to = kind_of(out);
    const rs::Fused<C> fused = fused_of<C>(values);
    check_small<C>(from);
    check_small<C>(to);
    const Run run = run_of(in, out, {plan_.z.in, plan_.y.in, plan_.x.in}, {plan_.z.out, plan_.y.out, plan_.x.out});
    const std::string voxel = outside;
    if (voxel.size() != static_cast<std::size_t>(out.itemsize()) || between.size() < plan_.between())
      throw std::invalid_argument("resampling: cval's size, or too little memory");
    const std::int64_t source = plan_.z.in * plan_.y.in * plan_.x.in * in.itemsize(),
                       target = plan_.z.out * plan_.y.out * plan_.x.out * out.itemsize();
    C* const memory = between.mutable_data();
    py::gil_scoped_release release;
    for (std::int64_t v = 0; v < run.volumes; ++v)
      rs::spline<C>(run.in + v * source, from, run.out + v * target, to, plan_, fused, truncate, voxel.data(), memory,
                    threads);
  }

  // Tables that take each sample alone: out becomes the coefficients.
  void coefficients(const py::array& in, py::array_t<C, py::array::c_style> out, const py::object& values,
                    int threads) const {
    const rs::Kind from = kind_of(in);
    const auto intake = fused_of<C>(values).intake;
    check_small<C>(from);
    const Run run = run_of(in, out, {plan_.z.in, plan_.y.in, plan_.x.in}, {plan_.z.out, plan_.y.out, plan_.x.out});
    if (plan_.z_first || plan_.z.out != plan_.z.in || plan_.y.out != plan_.y.in || plan_.x.out != plan_.x.in)
      throw std::invalid_argument("resampling: coefficients stand where the samples stood");
    const std::int64_t voxels = plan_.z.in * plan_.y.in * plan_.x.in, size = in.itemsize();
    C* const target = out.mutable_data();
    py::gil_scoped_release release;
    for (std::int64_t v = 0; v < run.volumes; ++v)
      rs::coefficients<C>(run.in + v * voxels * size, from, target + v * voxels, plan_, intake, threads);
  }

 private:
  rs::Spline<C> plan_;
};

class Oblique {
 public:
  Oblique(const Reals& matrix, std::array<std::int64_t, 3> in, std::array<std::int64_t, 3> out, bool edge,
          std::array<std::int64_t, 3> from, std::array<std::int64_t, 3> to) {
    if (matrix.size() != 12) throw std::invalid_argument("resampling: expected a 3 x 4 matrix");
    std::copy_n(matrix.data(), 12, affine_.m);
    std::copy_n(in.begin(), 3, affine_.in);
    std::copy_n(out.begin(), 3, affine_.out);
    std::copy_n(from.begin(), 3, affine_.from);
    std::copy_n(to.begin(), 3, affine_.to);
    affine_.edge = edge;
  }

  void run(const py::array& in, py::array out, const std::string& compute, int degree, bool truncate,
           const py::bytes& outside, const py::object& values, const py::object& displacement, int threads) const {
    const rs::Fused<float> narrow = fused_of<float>(values);
    const rs::Fused<double> wide = fused_of<double>(values);
    const rs::Affine a = displaced(displacement);
    const Run run = run_of(in, out, a.in, a.out);
    const rs::Kind from = kind_of(in), to = kind_of(out);
    const bool single = compute == "float32";
    if (single && degree != 0 && degree != kLabel) check_small<float>(from), check_small<float>(to);
    const std::string voxel = outside;
    const bool own = from == (single ? rs::Kind::f32 : rs::Kind::f64);
    const bool moved = degree == 0 || degree == kLabel;
    if (degree < kLabel || degree > 5 || (degree > 1 && !own) || (moved && in.itemsize() != out.itemsize()) ||
        voxel.size() != static_cast<std::size_t>(out.itemsize()))
      throw std::invalid_argument("resampling: the arrays do not fit the degree");
    const std::int64_t source = a.in[0] * a.in[1] * a.in[2] * in.itemsize();
    const std::int64_t size = out.itemsize(), target = a.out[0] * a.out[1] * a.out[2] * size;
    py::gil_scoped_release release;
    for (std::int64_t v = 0; v < run.volumes; ++v) {
      const char* const here = run.in + v * source;
      char* const there = run.out + v * target;
      if (degree == 0)
        rs::oblique_nearest(here, there, size, a, voxel.data(), threads);
      else if (degree == kLabel)
        rs::oblique_label(here, there, size, a, voxel.data(), threads);
      else
        single ? rs::oblique<float>(here, from, there, to, a, degree, narrow, truncate, voxel.data(), threads)
               : rs::oblique<double>(here, from, there, to, a, degree, wide, truncate, voxel.data(), threads);
    }
  }

 private:
  // None, or (field (z, y, x, 3), inverse (3, 3)).
  rs::Affine displaced(const py::object& displacement) const {
    rs::Affine a = affine_;
    if (displacement.is_none()) return a;
    const auto [field, inverse] = displacement.cast<std::pair<py::array, Reals>>();
    const auto size = field.itemsize();
    if (field.ndim() != 4 || field.shape(0) != a.out[0] || field.shape(1) != a.out[1] || field.shape(2) != a.out[2] ||
        field.shape(3) != 3 || !(field.flags() & py::array::c_style) || field.dtype().kind() != 'f' || size < 4 ||
        inverse.size() != 9)
      throw std::invalid_argument("resampling: the displacements do not fit the plan");
    a.field = field.data();
    a.field_double = size == 8;
    std::copy_n(inverse.data(), 9, a.n);
    return a;
  }

  rs::Affine affine_;
};

class Label {
 public:
  Label(const py::tuple& z, const py::tuple& y, const py::tuple& x)
      : z_(axis_of<double>(z)), y_(axis_of<double>(y)), x_(axis_of<double>(x)) {}

  void run(const py::array& in, py::array out, const py::bytes& outside, int threads) const {
    const Run run = run_of(in, out, {z_.in, y_.in, x_.in}, {z_.out, y_.out, x_.out});
    const std::int64_t size = in.itemsize();
    const std::string voxel = outside;
    if (out.itemsize() != size || voxel.size() != static_cast<std::size_t>(size))
      throw std::invalid_argument("resampling: dtypes differ");
    const std::int64_t source = z_.in * y_.in * x_.in * size, target = z_.out * y_.out * x_.out * size;
    py::gil_scoped_release release;
    for (std::int64_t v = 0; v < run.volumes; ++v)
      rs::label(run.in + v * source, run.out + v * target, size, z_, y_, x_, voxel.data(), threads);
  }

 private:
  rs::Axis<double> z_, y_, x_;
};

template <class C>
void bind_separable(py::module_& module, const char* name) {
  py::class_<Separable<C>>(module, name)
      .def(py::init<const py::tuple&, const py::tuple&, const py::tuple&>())
      .def("run", &Separable<C>::run);
}

template <class C>
void bind_spline(py::module_& module, const char* name) {
  py::class_<Spline<C>>(module, name)
      .def(py::init<const py::tuple&, const py::tuple&, const py::tuple&, const std::vector<std::pair<double, int>>&,
                    bool>())
      .def_property_readonly("between", &Spline<C>::between)
      .def("run", &Spline<C>::run)
      .def("coefficients", &Spline<C>::coefficients);
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
  py::class_<Label>(module, "Label")
      .def(py::init<const py::tuple&, const py::tuple&, const py::tuple&>())
      .def("run", &Label::run);
  bind_spline<float>(module, "SplineFloat");
  bind_spline<double>(module, "SplineDouble");
  py::class_<Oblique>(module, "Oblique")
      .def(py::init<const Reals&, std::array<std::int64_t, 3>, std::array<std::int64_t, 3>, bool,
                    std::array<std::int64_t, 3>, std::array<std::int64_t, 3>>())
      .def("run", &Oblique::run);
}
