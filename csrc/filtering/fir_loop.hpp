// Included once in each level's region: no include guard, no standard header.
#include "cpu/weighted_rows.hpp"

namespace fastimg::filtering::FASTIMG_LEVEL {
namespace {

template <class T, class C>
void load_sum(const void* const* rows, const C* weights, int taps, C* out, std::int64_t n) {
  cpu::FASTIMG_LEVEL::sum_rows(reinterpret_cast<const T* const*>(rows), weights, taps, out, n);
}

}  // namespace

extern const FirTable<float> float_fir;
extern const FirTable<double> double_fir;
const FirTable<float> float_fir = {
    {load_sum<i8, float>, load_sum<u8, float>, load_sum<i16, float>, load_sum<u16, float>, nullptr, nullptr, nullptr,
     nullptr, load_sum<float, float>, nullptr},
    cpu::FASTIMG_LEVEL::sum_rows<float, float>};
const FirTable<double> double_fir = {
    {load_sum<i8, double>, load_sum<u8, double>, load_sum<i16, double>, load_sum<u16, double>, load_sum<i32, double>,
     load_sum<u32, double>, load_sum<i64, double>, load_sum<u64, double>, load_sum<float, double>,
     load_sum<double, double>},
    cpu::FASTIMG_LEVEL::sum_rows<double, double>};

}  // namespace fastimg::filtering::FASTIMG_LEVEL
