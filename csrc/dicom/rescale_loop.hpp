// Included once in each level's region: no include guard, no standard header.
#include "fastimg/rescale.cuh"

namespace fastimg::dicom::FASTIMG_LEVEL {
namespace {

template <class T>
void row_f32(const void* from, void* to, std::int64_t count, const Rescale& how) {
  const T* __restrict in = static_cast<const T*>(from);
  float* __restrict out = static_cast<float*>(to);
  const int left = how.left, right = how.right;
  const double slope = how.slope, intercept = how.intercept;
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = fastimg::rescale(static_cast<double>(fastimg::stored_bits(in[i], left, right)), slope, intercept);
}

template <class T>
void row_f32_whole(const void* from, void* to, std::int64_t count, const Rescale& how) {
  const T* __restrict in = static_cast<const T*>(from);
  float* __restrict out = static_cast<float*>(to);
  const int left = how.left, right = how.right;
  const float slope = static_cast<float>(how.slope), intercept = static_cast<float>(how.intercept);
  if (left == 0 && right == 0) {
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = fastimg::rescale_whole(static_cast<float>(in[i]), slope, intercept);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = fastimg::rescale_whole(static_cast<float>(fastimg::stored_bits(in[i], left, right)), slope, intercept);
}

template <class T, class U>
void row_whole(const void* from, void* to, std::int64_t count, const Rescale& how) {
  const T* in = static_cast<const T*>(from);
  U* out = static_cast<U*>(to);
  const int left = how.left, right = how.right;
  // Unsigned arithmetic: it wraps where intermediate values pass the type, and the result is right because it fits.
  using Wide = std::uint64_t;
  using Narrow = std::uint32_t;
  if constexpr (sizeof(T) <= 4 && sizeof(U) <= 4) {
    const Narrow slope = static_cast<Narrow>(static_cast<std::int64_t>(how.slope));
    const Narrow intercept = static_cast<Narrow>(static_cast<std::int64_t>(how.intercept));
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<U>(static_cast<Narrow>(fastimg::stored_bits(in[i], left, right)) * slope + intercept);
  } else {
    const Wide slope = static_cast<Wide>(static_cast<std::int64_t>(how.slope));
    const Wide intercept = static_cast<Wide>(static_cast<std::int64_t>(how.intercept));
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<U>(static_cast<Wide>(fastimg::stored_bits(in[i], left, right)) * slope + intercept);
  }
}

}  // namespace

#define FASTIMG_WHOLE(T)                                                                                             \
  {row_whole<T, std::int8_t>,  row_whole<T, std::uint8_t>,  row_whole<T, std::int16_t>, row_whole<T, std::uint16_t>, \
   row_whole<T, std::int32_t>, row_whole<T, std::uint32_t>, row_whole<T, std::int64_t>, row_whole<T, std::uint64_t>}

extern const RescaleTable rescale_table;
const RescaleTable rescale_table = {
    {row_f32<std::int8_t>, row_f32<std::uint8_t>, row_f32<std::int16_t>, row_f32<std::uint16_t>, row_f32<std::int32_t>,
     row_f32<std::uint32_t>, row_f32<std::int64_t>, row_f32<std::uint64_t>, row_f32<float>, row_f32<double>},
    {row_f32_whole<std::int8_t>, row_f32_whole<std::uint8_t>, row_f32_whole<std::int16_t>, row_f32_whole<std::uint16_t>,
     nullptr, nullptr, nullptr, nullptr, nullptr, nullptr},
    {FASTIMG_WHOLE(std::int8_t),
     FASTIMG_WHOLE(std::uint8_t),
     FASTIMG_WHOLE(std::int16_t),
     FASTIMG_WHOLE(std::uint16_t),
     FASTIMG_WHOLE(std::int32_t),
     FASTIMG_WHOLE(std::uint32_t),
     FASTIMG_WHOLE(std::int64_t),
     FASTIMG_WHOLE(std::uint64_t),
     {nullptr},
     {nullptr}},
};
#undef FASTIMG_WHOLE

}  // namespace fastimg::dicom::FASTIMG_LEVEL
