#pragma once

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "bind/dicom_arrays.hpp"
#include "cpu/pool.hpp"
#include "dicom/decode.hpp"
#include "dicom/inflate.hpp"
#include "dicom/jpeg_lossless.hpp"
#include "dicom/rle.hpp"

namespace fastimg::dicom {

inline Type type_of(const py::dtype& dtype) {
  // By letter and size: the name is made anew by NumPy each time, in Python.
  const auto size = dtype.itemsize();
  const int width = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : -1;
  if (width >= 0 && dtype.kind() == 'i') return static_cast<Type>(2 * width);
  if (width >= 0 && dtype.kind() == 'u') return static_cast<Type>(2 * width + 1);
  if (width >= 2 && dtype.kind() == 'f') return width == 2 ? Type::f32 : Type::f64;
  throw std::invalid_argument("dtype " + std::string(py::str(dtype)) + " is not supported");
}

inline std::uint64_t product(std::initializer_list<std::uint64_t> factors) {
  std::uint64_t all = 1;
  for (const std::uint64_t factor : factors)
    if (__builtin_mul_overflow(all, factor, &all)) throw std::invalid_argument("sizes overflow");
  return all;
}

// Frames to decode, filled one call a frame and run at once.
class Plan {
 public:
  void add(const std::string& path, std::uint64_t pixels, std::uint32_t columns, std::uint32_t samples,
           const py::dtype& type, int packing, bool planar, bool swap, bool swap_pairs, std::uint64_t index,
           std::uint64_t offset, std::uint64_t length, std::uint64_t deflated_at,
           const std::vector<std::pair<std::uint64_t, std::uint64_t>>& spans, int left, int right, double slope,
           double intercept, std::uint64_t slice) {
    Frame frame;
    frame.path = path;
    frame.layout = {pixels, columns, samples, type_of(type), static_cast<Packing>(packing), planar, swap, swap_pairs};
    frame.index = index;
    frame.offset = offset;
    frame.length = length;
    frame.deflated_at = deflated_at;
    for (const auto& [at, bytes] : spans) frame.spans.push_back({at, bytes});
    frame.rescale = {left, right, slope, intercept};
    frame.slice = slice;
    // The last byte that this frame touches, in its file and in the output, must be countable.
    product({pixels, samples, 8, index + 1});
    frames_.push_back(std::move(frame));
  }

  // Files whose only frame is like the last one added, at other places; they go to `slice` and after it.
  void more(const std::vector<std::string>& paths, const std::vector<std::uint64_t>& offsets,
            const std::vector<std::uint64_t>& lengths, const std::vector<double>& slopes,
            const std::vector<double>& intercepts, std::uint64_t slice) {
    const std::size_t count = paths.size();
    if (frames_.empty() || offsets.size() != count || lengths.size() != count || slopes.size() != count ||
        intercepts.size() != count)
      throw std::invalid_argument("one value a file, behind a first frame");
    frames_.reserve(frames_.size() + count);
    Frame frame = frames_.back();
    for (std::size_t i = 0; i < count; ++i) {
      frame.path = paths[i];
      frame.offset = offsets[i];
      frame.length = lengths[i];
      frame.rescale.slope = slopes[i];
      frame.rescale.intercept = intercepts[i];
      frame.slice = slice + i;
      frames_.push_back(frame);
    }
  }

  std::vector<std::pair<std::uint64_t, std::string>> run(py::array out, int threads) {
    if (!out.writeable() || !(out.flags() & py::array::c_style))
      throw std::invalid_argument("out must be writable and C-contiguous");
    const Type to = type_of(out.dtype());
    for (const Frame& frame : frames_) {
      const std::uint64_t values = product({frame.layout.pixels, frame.layout.samples});
      if (product({values, frame.slice + 1}) > static_cast<std::uint64_t>(out.size()))
        throw std::invalid_argument("out is too small");
    }
    void* data = out.mutable_data();
    std::vector<Failure> failures;
    {
      py::gil_scoped_release release;
      failures = decode(frames_, data, to, threads);
    }
    std::vector<std::pair<std::uint64_t, std::string>> result;
    for (Failure& failure : failures) result.emplace_back(frames_[failure.frame].slice, std::move(failure.message));
    return result;
  }

  // A frame's compressed bytes, into a buffer that is kept from frame to frame: new ones of this size cost page faults.
  void bytes(std::size_t index, const py::bytearray& to) const {
    const Frame& frame = frames_.at(index);
    py::gil_scoped_release release;
    frame_bytes(frame, [&](std::uint64_t size) {
      py::gil_scoped_acquire acquire;
      if (PyByteArray_Resize(to.ptr(), static_cast<Py_ssize_t>(size)) != 0) throw py::error_already_set();
      return reinterpret_cast<Byte*>(PyByteArray_AsString(to.ptr()));
    });
  }

  std::size_t size() const { return frames_.size(); }

 private:
  std::vector<Frame> frames_;
};

// `volume`: bytes of what `out` is a part of.
inline void rescale_array(const py::array& stored, py::array out, int left, int right, double slope, double intercept,
                          int threads, std::uint64_t volume) {
  if (stored.size() != out.size() || !(stored.flags() & py::array::c_style) || !(out.flags() & py::array::c_style) ||
      !out.writeable())
    throw std::invalid_argument("arrays must be C-contiguous and of one size");
  const Type from = type_of(stored.dtype()), to = type_of(out.dtype());
  const void* in = stored.data();
  void* target = out.mutable_data();
  const auto count = static_cast<std::int64_t>(stored.size());
  py::gil_scoped_release release;
  cpu::parallel_for(count, 1 << 16, threads, [&](std::int64_t begin, std::int64_t end) {
    rescale(static_cast<const char*>(in) + begin * size_of(from), from,
            static_cast<char*>(target) + begin * size_of(to), to, end - begin, {left, right, slope, intercept},
            volume > kCached);
  });
}

inline std::vector<std::vector<std::pair<std::uint64_t, std::uint64_t>>> spans_of(
    const std::string& path, std::uint64_t offset, bool big, std::uint64_t frames,
    const std::vector<std::uint64_t>& offsets, const std::vector<std::uint64_t>& lengths) {
  std::vector<std::vector<Span>> found;
  {
    py::gil_scoped_release release;
    File file;
    if (!file.open(-100 /* AT_FDCWD */, path.c_str())) throw std::runtime_error("the file cannot be opened");
    std::vector<Byte> room;
    Source source(file, room);
    found = frame_spans(source, offset, big, frames, offsets, lengths);
  }
  std::vector<std::vector<std::pair<std::uint64_t, std::uint64_t>>> result;
  for (const auto& frame : found) {
    result.emplace_back();
    for (const Span& span : frame) result.back().emplace_back(span.offset, span.length);
  }
  return result;
}

inline py::bytes rle_bytes(const py::bytes& data, std::uint64_t pixels, unsigned samples, unsigned sample_bytes) {
  const std::string_view in = data;
  const std::uint64_t size = product({pixels, samples, sample_bytes});
  if (size / 128 > in.size() + 64) throw std::runtime_error("the RLE data are too short for rows and columns");
  std::vector<Byte> out(size + 16), planes;
  const char* problem =
      rle_frame(reinterpret_cast<const Byte*>(in.data()), in.size(), pixels, samples, sample_bytes, out.data(), planes);
  if (problem) throw std::runtime_error(problem);
  return py::bytes(reinterpret_cast<const char*>(out.data()), size);
}

// One frame of lossless JPEG, sample-interleaved, in 16-bit words or (precision up to 8) bytes.
inline py::bytes jpeg_lossless_bytes(const py::bytes& data, std::uint32_t rows, std::uint32_t columns,
                                     std::uint32_t samples) {
  const std::string_view in = data;
  std::string out;
  {
    py::gil_scoped_release release;
    auto decoder = std::make_unique<JpegLossless>();
    const char* problem = decoder->open(reinterpret_cast<const Byte*>(in.data()), in.size(), rows, columns, samples);
    if (problem) throw std::runtime_error(problem);
    JpegLossless::Rows part;
    std::uint64_t done = 0;
    const std::uint64_t values = product({rows, columns, samples});
    while (done < values && decoder->next(part)) {
      if (decoder->width() == 2) {
        out.append(reinterpret_cast<const char*>(part.values), 2 * part.count);
      } else {
        for (std::uint64_t i = 0; i < part.count; ++i) out.push_back(static_cast<char>(part.values[i]));
      }
      done += part.count;
    }
    if (decoder->problem()) throw std::runtime_error(decoder->problem());
  }
  return py::bytes(out);
}

// At most `limit` bytes of a raw DEFLATE stream.
inline py::bytes inflated_bytes(const py::bytes& data, std::uint64_t limit) {
  const std::string_view in = data;
  std::vector<Byte> out;
  if (inflate(reinterpret_cast<const Byte*>(in.data()), in.size(), out, limit) == Inflated::damaged)
    throw std::runtime_error("the deflated data are damaged");
  return py::bytes(reinterpret_cast<const char*>(out.data()), out.size());
}

inline void register_decode(py::module_& module) {
  py::class_<Plan>(module, "Plan")
      .def(py::init<>())
      .def("add", &Plan::add, py::kw_only(), py::arg("path"), py::arg("pixels"), py::arg("columns"), py::arg("samples"),
           py::arg("dtype"), py::arg("packing"), py::arg("planar"), py::arg("swap"), py::arg("swap_pairs"),
           py::arg("index"), py::arg("offset"), py::arg("length"), py::arg("deflated_at"), py::arg("spans"),
           py::arg("left"), py::arg("right"), py::arg("slope"), py::arg("intercept"), py::arg("slice"))
      .def("more", &Plan::more, py::kw_only(), py::arg("paths"), py::arg("offsets"), py::arg("lengths"),
           py::arg("slopes"), py::arg("intercepts"), py::arg("slice"))
      .def("run", &Plan::run, py::arg("out"), py::arg("threads"))
      .def("bytes", &Plan::bytes, py::arg("index"), py::arg("to"))
      .def("__len__", &Plan::size);
  module.def("rescale", &rescale_array, py::arg("stored"), py::arg("out"), py::arg("left"), py::arg("right"),
             py::arg("slope"), py::arg("intercept"), py::arg("threads"), py::arg("volume") = 0);
  module.def("spans", &spans_of, py::arg("path"), py::arg("offset"), py::arg("big"), py::arg("frames"),
             py::arg("extended_offsets"), py::arg("extended_lengths"));
  module.attr("JPEG_CUT") = JpegLossless::kCut;
  module.def("jpeg_lossless", &jpeg_lossless_bytes, py::arg("data"), py::arg("rows"), py::arg("columns"),
             py::arg("samples"));
  module.def("inflate", &inflated_bytes, py::arg("data"), py::arg("limit"));
  module.def("rle_decode", &rle_bytes, py::arg("data"), py::arg("pixels"), py::arg("samples"), py::arg("sample_bytes"));
}

}  // namespace fastimg::dicom
