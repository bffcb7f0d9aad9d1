#include "harmonize/combat.hpp"

namespace fastimg::harmonize {
namespace {

constexpr std::int64_t kFeatures = 256, kRows = 16;  // a chunk

CombatAddTile<float> add_of(const CombatTable& t, const float*) { return t.add_f32; }
CombatAddTile<double> add_of(const CombatTable& t, const double*) { return t.add_f64; }
CombatApplyRows<float> apply_of(const CombatTable& t, const float*) { return t.apply_f32; }
CombatApplyRows<double> apply_of(const CombatTable& t, const double*) { return t.apply_f64; }

}  // namespace

template <class T>
void combat_add(const T* x, const std::int64_t* order, const std::int32_t* batch, const double* covariates,
                const double* center, const CombatShape& shape, const CombatSums& sums, int threads) {
  const auto tile = add_of(FASTIMG_PICK(combat_table), x);
  cpu::parallel_for(shape.features, kFeatures, threads, [&](std::int64_t begin, std::int64_t end) {
    tile(x, order, batch, covariates, center, shape, sums, begin, end);
  });
}

template <class T>
void combat_apply(const T* x, T* out, const std::int32_t* batch, const double* covariates, const double* mean,
                  const double* beta, const double* gamma, const double* alpha, const CombatShape& shape, int threads) {
  const auto rows = apply_of(FASTIMG_PICK(combat_table), x);
  cpu::parallel_for(shape.rows, kRows, threads, [&](std::int64_t begin, std::int64_t end) {
    rows(x, out, batch, covariates, mean, beta, gamma, alpha, shape, begin, end);
  });
}

#define FASTIMG_EACH(T)                                                                                      \
  template void combat_add(const T*, const std::int64_t*, const std::int32_t*, const double*, const double*, \
                           const CombatShape&, const CombatSums&, int);                                      \
  template void combat_apply(const T*, T*, const std::int32_t*, const double*, const double*, const double*, \
                             const double*, const double*, const CombatShape&, int);
FASTIMG_EACH(float)
FASTIMG_EACH(double)
#undef FASTIMG_EACH

}  // namespace fastimg::harmonize
