// fastimg.secagg._native: the mask stream (it owns the keys, and wipes them), packing, Shamir. Callers check arguments.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "bind/capi.hpp"
#include "secagg/mask.hpp"
#include "secagg/noise.hpp"
#include "secagg/pack.hpp"
#include "secagg/shamir.hpp"

namespace py = pybind11;
using namespace fastimg::secagg;

namespace {

void wipe(void* memory, std::size_t bytes) {
  std::memset(memory, 0, bytes);
  __asm__ __volatile__("" : : "r"(memory) : "memory");
}

// Asks for large pages where a buffer holds some: a long one costs more in page faults than in what is written to it.
void prefer_large_pages(void* memory, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kPage = 1 << 21;
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + kPage - 1) & ~(kPage - 1);
  const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) & ~(kPage - 1);
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
  (void)memory, (void)bytes;
}

void make_ready(Stream& stream, const py::bytes& text, Prg prg, bool minus) {
  const auto seed = static_cast<std::string_view>(text);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(seed.data());
  std::memset(&stream, 0, sizeof stream);
  stream.minus = minus;
  if (prg == Prg::chacha20) {
    if (seed.size() != 32) throw py::value_error("a ChaCha20 seed has 32 bytes");
    std::memcpy(stream.key, bytes, 32);
  } else {
    if (seed.size() != 16 && seed.size() != 32) throw py::value_error("an AES-128-CTR seed has 16 or 32 bytes");
    expand_key(bytes, stream.round_keys);
    if (seed.size() == 32) std::memcpy(stream.nonce, bytes + 16, 12);
  }
}

class MaskStream {
 public:
  MaskStream(const std::vector<py::bytes>& seeds, const std::vector<bool>& minus, int prg, bool portable)
      : prg_(static_cast<Prg>(prg)), portable_(portable), streams_(seeds.size()) {
    for (std::size_t i = 0; i < seeds.size(); ++i) make_ready(streams_[i], seeds[i], prg_, minus.at(i));
  }
  ~MaskStream() {
    if (!streams_.empty()) wipe(streams_.data(), streams_.size() * sizeof(Stream));
  }
  MaskStream(const MaskStream&) = delete;
  MaskStream& operator=(const MaskStream&) = delete;

  // (clipped, not finite); values None: the masks are added to what out holds. dither: a seed, or None.
  py::tuple apply(const py::object& values, const py::array& out, std::int64_t offset, double scale, double limit,
                  double clip, int threads, const py::object& dither) const {
    const Job job{out.size(), offset, 0, nullptr, threads, fixed_of(scale, limit, clip)};
    void* words = py::array(out).mutable_data();
    const Counts counts = values.is_none() ? bare(words, out.itemsize() == 4, job)
                                           : over(py::cast<py::array>(values), words, out.itemsize() == 4, job, dither);
    return py::make_tuple(counts.clipped, counts.bad);
  }

  // (bytes, clipped, not finite): `head`, the words cut to `bits` bits without gaps, `tail` bytes of 0; word: 4 or 8
  // bytes
  py::tuple packed(const py::array& values, int bits, int word, double scale, double limit, double clip, int threads,
                   const py::object& dither, const py::bytes& head, int tail) const {
    if (bits < 1 || bits > 8 * word || (word != 4 && word != 8) || tail < 0)
      throw py::value_error("bits beyond the word");
    const auto front = static_cast<std::string_view>(head);
    const std::int64_t size = (values.size() * bits + 7) / 8;
    py::bytes out(nullptr, front.size() + static_cast<std::size_t>(size + tail));
    auto* to = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(out.ptr()));
    prefer_large_pages(to, static_cast<std::size_t>(PyBytes_GET_SIZE(out.ptr())));
    std::memcpy(to, front.data(), front.size());
    std::memset(to + front.size() + size, 0, static_cast<std::size_t>(tail));
    const Job job{values.size(), 0, bits, to + front.size(), threads, fixed_of(scale, limit, clip)};
    const Counts counts = over(values, nullptr, word == 4, job, dither);
    return py::make_tuple(out, counts.clipped, counts.bad);
  }

 private:
  struct Job {
    std::int64_t count, offset;
    int bits;
    std::uint8_t* packed;
    int threads;
    Fixed fixed;
  };

  static Fixed fixed_of(double scale, double limit, double clip) {
    float inside = static_cast<float>(std::min(clip, static_cast<double>(std::numeric_limits<float>::max())));
    if (static_cast<double>(inside) > clip) inside = std::nextafter(inside, 0.0f);
    return {scale, limit, clip, inside};
  }

  template <class T, class W>
  Counts run(const T* in, W* out, const Job& job, const Stream* rounding) const {
    py::gil_scoped_release release;
    return mask(in, Target<W>{out, job.packed, job.bits}, job.count, job.offset, streams_, rounding, prg_, portable_,
                job.fixed, job.threads);
  }

  Counts bare(void* words, bool narrow, const Job& job) const {
    return narrow ? run<std::uint32_t, std::uint32_t>(nullptr, static_cast<std::uint32_t*>(words), job, nullptr)
                  : run<std::uint64_t, std::uint64_t>(nullptr, static_cast<std::uint64_t*>(words), job, nullptr);
  }

  Counts over(const py::array& in, void* words, bool narrow, const Job& job, const py::object& dither) const {
    Stream random;
    if (!dither.is_none()) make_ready(random, py::cast<py::bytes>(dither), prg_, false);
    const Stream* rounding = dither.is_none() ? nullptr : &random;
    const void* data = in.data();
    const bool real = in.dtype().kind() == 'f', half = in.itemsize() == 4;
    const auto to = [&](auto* out) {
      using W = std::remove_pointer_t<decltype(out)>;
      if (real)
        return half ? run(static_cast<const float*>(data), out, job, rounding)
                    : run(static_cast<const double*>(data), out, job, rounding);
      if constexpr (sizeof(W) == 8)
        return half ? run(static_cast<const std::uint32_t*>(data), out, job, nullptr)
                    : run(static_cast<const std::uint64_t*>(data), out, job, nullptr);
      else
        return run(static_cast<const std::uint32_t*>(data), out, job, nullptr);
    };
    const Counts counts = narrow ? to(static_cast<std::uint32_t*>(words)) : to(static_cast<std::uint64_t*>(words));
    if (rounding) wipe(&random, sizeof random);
    return counts;
  }

  Prg prg_;
  bool portable_;
  std::vector<Stream> streams_;
};

py::bytes pack_words(const py::array& words, int bits, int threads) {
  const std::int64_t count = words.size();
  if (bits < 1 || bits > 8 * static_cast<int>(words.itemsize())) throw py::value_error("bits beyond the word");
  py::bytes out(nullptr, static_cast<std::size_t>((count * bits + 7) / 8));
  auto* bytes = reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(out.ptr()));
  const void* data = words.data();
  const bool narrow = words.itemsize() == 4;
  py::gil_scoped_release release;
  if (narrow)
    pack(static_cast<const std::uint32_t*>(data), count, bits, bytes, threads);
  else
    pack(static_cast<const std::uint64_t*>(data), count, bits, bytes, threads);
  return out;
}

void add_words(const py::buffer& packed, int bits, const py::array& sum, int threads) {
  const py::buffer_info info = packed.request();
  const std::int64_t count = sum.size();
  if (bits < 1 || bits > 8 * static_cast<int>(sum.itemsize()) || info.size * info.itemsize != (count * bits + 7) / 8)
    throw py::value_error("packed words of another length");
  const auto* bytes = static_cast<const std::uint8_t*>(info.ptr);
  void* data = py::array(sum).mutable_data();
  const bool narrow = sum.itemsize() == 4;
  py::gil_scoped_release release;
  if (narrow)
    add_packed(bytes, count, bits, static_cast<std::uint32_t*>(data), threads);
  else
    add_packed(bytes, count, bits, static_cast<std::uint64_t*>(data), threads);
}

const std::uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }

py::bytes split(const py::bytes& secrets, const py::bytes& coefficients, int threshold,
                const std::vector<std::uint32_t>& points) {
  const auto values = static_cast<std::string_view>(secrets), random = static_cast<std::string_view>(coefficients);
  const std::int64_t count = static_cast<std::int64_t>(values.size() / 16);
  if (values.size() % 16 || threshold < 1 || random.size() != values.size() * (threshold - 1))
    throw py::value_error("shares: wrong sizes");
  py::bytes out(nullptr, values.size() * points.size());
  shamir_split(bytes_of(values), bytes_of(random), count, threshold, points.data(),
               static_cast<std::int64_t>(points.size()), reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(out.ptr())));
  return out;
}

py::bytes combine(const py::bytes& shares, const std::vector<std::uint32_t>& points) {
  const auto values = static_cast<std::string_view>(shares);
  if (points.empty() || values.size() % (16 * points.size())) throw py::value_error("shares: wrong sizes");
  const std::int64_t count = static_cast<std::int64_t>(values.size() / 16 / points.size());
  py::bytes out(nullptr, static_cast<std::size_t>(count) * 16);
  shamir_combine(bytes_of(values), points.data(), static_cast<int>(points.size()), count,
                 reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(out.ptr())));
  return out;
}

py::array_t<std::int64_t> noise(const py::bytes& seed, std::uint64_t variance, std::int64_t count) {
  if (variance < 1 || variance > std::uint64_t{1} << 48 || count < 0)
    throw py::value_error("a variance from 1 to 2^48");
  Stream stream;
  make_ready(stream, seed, Prg::chacha20, false);
  py::array_t<std::int64_t> out(count);
  std::int64_t* to = out.mutable_data();
  {
    py::gil_scoped_release release;
    discrete_gaussian(stream, variance, count, to);
  }
  wipe(&stream, sizeof stream);
  return out;
}

// Ends a message that nobody has seen yet: `packed` left room for it.
void finish(const py::bytes& message, const py::bytes& tail) {
  const auto end = static_cast<std::string_view>(tail);
  const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(message.ptr()));
  if (end.size() > size) throw py::value_error("a tail longer than the message");
  std::memcpy(PyBytes_AS_STRING(message.ptr()) + (size - end.size()), end.data(), end.size());
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  if (fastimg_import_core()) throw py::error_already_set();
  py::class_<MaskStream>(module, "MaskStream")
      .def(py::init<const std::vector<py::bytes>&, const std::vector<bool>&, int, bool>())
      .def("apply", &MaskStream::apply, py::arg(), py::arg(), py::arg(), py::arg(), py::arg(), py::arg(), py::arg(),
           py::arg("dither") = py::none())
      .def("packed", &MaskStream::packed);
  module.def("pack", &pack_words);
  module.def("add_packed", &add_words);
  module.def("split", &split);
  module.def("combine", &combine);
  module.def("finish", &finish);
  module.def("noise", &noise);
  module.def("has_aes", &has_aes);
  module.def("has_vaes", &has_vaes);
}
