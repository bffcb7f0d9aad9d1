// fastimg.cohort._native: shards of volumes, CRC-32C, and the frames of chunks (the last for tests).
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cerrno>
#include <system_error>

#include "bind/capi.hpp"
#include "cohort/bitshuffle.hpp"
#include "cohort/crc32c.hpp"
#include "cohort/flush.hpp"
#include "cohort/shard.hpp"

namespace py = pybind11;
using namespace fastimg::cohort;

namespace {

// Addresses of libzstd's and liblz4's functions, in the order of `Libraries`.
void use(const std::vector<std::uintptr_t>& a) {
  if (a.size() != 12) throw std::invalid_argument("twelve addresses");
  const auto as = [&](std::size_t k, auto& target) { target = reinterpret_cast<std::decay_t<decltype(target)>>(a[k]); };
  as(0, libraries.zstd_create_cctx);
  as(1, libraries.zstd_create_dctx);
  as(2, libraries.zstd_free_cctx);
  as(3, libraries.zstd_free_dctx);
  as(4, libraries.zstd_compress);
  as(5, libraries.zstd_decompress);
  as(6, libraries.zstd_is_error);
  as(7, libraries.zstd_bound);
  as(8, libraries.zstd_set);
  as(9, libraries.zstd_compress2);
  as(10, libraries.lz4_compress);
  as(11, libraries.lz4_decompress);
  ++libraries.turn;
}

Coder coder_of(const std::string& name) {
  if (name == "zstd") return Coder::zstd;
  if (name == "blosc-zstd") return Coder::blosc_zstd;
  if (name == "blosc-lz4") return Coder::blosc_lz4;
  throw std::invalid_argument("unknown coder");
}

Layout layout_of(Shape shape, Shape chunks, const std::string& coder, int level, bool shuffle, std::size_t item) {
  if (shape.empty() || shape.size() != chunks.size()) throw std::invalid_argument("shape and chunks differ in length");
  if (item != 1 && item != 2 && item != 4 && item != 8) throw std::invalid_argument("elements of 1, 2, 4 or 8 bytes");
  std::int64_t bytes = static_cast<std::int64_t>(item), cells = 1;
  for (std::size_t k = 0; k < shape.size(); ++k) {
    if (shape[k] <= 0 || chunks[k] <= 0) throw std::invalid_argument("an empty axis");
    if (__builtin_mul_overflow(bytes, chunks[k], &bytes) || bytes > (1 << 30))
      throw std::invalid_argument("a chunk too large");
    if (__builtin_mul_overflow(cells, (shape[k] - 1) / chunks[k] + 1, &cells) || cells > (std::int64_t{1} << 40))
      throw std::invalid_argument("too many chunks");
  }
  return Layout{std::move(shape), std::move(chunks), Codec{coder_of(coder), level, shuffle, item}};
}

py::tuple write_array(int fd, const py::array& array, Shape chunks, const std::string& coder, int level, bool shuffle,
                      int threads) {
  if (!(array.flags() & py::array::c_style)) throw std::invalid_argument("not C-contiguous");
  Shape shape(array.shape(), array.shape() + array.ndim());
  const Layout layout =
      layout_of(std::move(shape), std::move(chunks), coder, level, shuffle, static_cast<std::size_t>(array.itemsize()));
  const auto* data = static_cast<const std::uint8_t*>(array.data());
  Written done;
  {
    py::gil_scoped_release release;
    done = write_shard(fd, layout, data, threads);
  }
  return py::make_tuple(done.size, done.crc, done.index_crc, done.chunks_crc);
}

void read_region(const Shard& shard, const Shape& start, const Shape& stop, py::array out, int threads) {
  const Layout& layout = shard.layout();
  const std::size_t rank = layout.shape.size();
  if (start.size() != rank || stop.size() != rank || static_cast<std::size_t>(out.ndim()) != rank ||
      !(out.flags() & py::array::c_style) || !out.writeable() ||
      static_cast<std::size_t>(out.itemsize()) != layout.codec.size)
    throw std::invalid_argument("out does not fit the shard");
  for (std::size_t k = 0; k < rank; ++k)
    if (start[k] < 0 || stop[k] <= start[k] || stop[k] > layout.shape[k] ||
        out.shape(static_cast<py::ssize_t>(k)) != stop[k] - start[k])
      throw std::invalid_argument("region outside the shard, or another shape than out");
  auto* data = static_cast<std::uint8_t*>(out.mutable_data());
  py::gil_scoped_release release;
  shard.read(start, stop, data, threads);
}

py::bytes encode(const py::bytes& chunk, const std::string& coder, int level, bool shuffle, std::size_t item) {
  const std::string_view in = chunk;
  std::vector<std::uint8_t> out;
  encode_chunk(Codec{coder_of(coder), level, shuffle, item}, reinterpret_cast<const std::uint8_t*>(in.data()),
               in.size(), out);
  return py::bytes(reinterpret_cast<const char*>(out.data()), out.size());
}

py::bytes decode(const py::bytes& stored, std::size_t size, const std::string& coder, bool shuffle, std::size_t item) {
  const std::string_view in = stored;
  std::vector<std::uint8_t> out(size);
  decode_chunk(Codec{coder_of(coder), 1, shuffle, item}, reinterpret_cast<const std::uint8_t*>(in.data()), in.size(),
               out.data(), size, Wanted{0, size, size, 0, size});
  return py::bytes(reinterpret_cast<const char*>(out.data()), out.size());
}

std::uint32_t checksum(const py::buffer& data, std::uint32_t value, bool tables) {
  const py::buffer_info info = data.request();
  if (!PyBuffer_IsContiguous(info.view(), 'C')) throw std::invalid_argument("not contiguous");
  const auto size = static_cast<std::size_t>(info.size * info.itemsize);
  py::gil_scoped_release release;
  return tables ? crc32c_tables(info.ptr, size, value) : crc32c(info.ptr, size, value);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  if (fastimg_import_core() < 0) throw py::error_already_set();
  module.doc() = "Shards of volumes.";
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Damaged& error) {
      py::set_error(py::module_::import("fastimg.errors").attr("IntegrityError"), error.what());
    } catch (const std::system_error& error) {
      errno = error.code().value();
      PyErr_SetFromErrno(PyExc_OSError);
    }
  });
  module.def("use", &use);
  module.def("begin_flush", &begin_flush, py::call_guard<py::gil_scoped_release>());
  module.def("flush", &flush, py::call_guard<py::gil_scoped_release>());
  module.def("crc32c", &checksum, py::arg("data"), py::arg("value") = 0, py::arg("tables") = false);
  module.def("encode_chunk", &encode);
  module.def("decode_chunk", &decode);
  module.def("write", &write_array);
  py::class_<Shard>(module, "Shard")
      .def(py::init([](const std::string& path, Shape shape, Shape chunks, const std::string& coder, bool shuffle,
                       std::size_t item, std::uint64_t size, std::uint32_t index_crc) {
        return std::make_unique<Shard>(path, layout_of(std::move(shape), std::move(chunks), coder, 1, shuffle, item),
                                       size, index_crc);
      }))
      .def("read", &read_region);
}
