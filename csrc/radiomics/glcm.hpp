// Grey level co-occurrence: how often level j lies at an offset from level i, and the features of such a matrix.
#pragma once

#include <vector>

#include "radiomics/volume.hpp"

namespace fastimg::radiomics {

// counts[k][i - 1][j - 1] += pairs (level i at a voxel of slices [z_begin, z_end), level j at the voxel plus
// offsets[k]). No component of an offset is larger than volume.pad. counts: (offsets, levels, levels), not cleared
// here.
template <class T>
void glcm(const Volume<T>& volume, const Offset* offsets, std::int64_t offset_count, std::int64_t z_begin,
          std::int64_t z_end, std::int64_t levels, std::int64_t* counts, int threads);

constexpr int kGlcmFeatures = 25;

// The 25 features of the IBSI reference manual, 3.6, in its order, of one matrix of weights (levels x levels) whose sum
// is above 0. `epsilon` is added inside logarithms (0: the exact definition).

void glcm_features(const double* matrix, std::int64_t levels, double epsilon, double* out);

// The maximal correlation coefficient of a symmetric matrix of weights (levels x levels): the second largest
// eigenvalue, without sign, of p(i, j) / sqrt(p(i) p(j)). 1 where fewer than two levels occur.
double maximal_correlation(const double* matrix, std::int64_t levels);

// Both of each of `count` matrices.
inline void each_glcm_features(const double* matrices, std::int64_t count, std::int64_t levels, double epsilon,
                               double* out, int threads) {
  cpu::parallel_for(count, 1, threads, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k)
      glcm_features(matrices + k * levels * levels, levels, epsilon, out + k * kGlcmFeatures);
  });
}
inline void each_maximal_correlation(const double* matrices, std::int64_t count, std::int64_t levels, double* out,
                                     int threads) {
  cpu::parallel_for(count, 1, threads, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) out[k] = maximal_correlation(matrices + k * levels * levels, levels);
  });
}

// Householder's reduction of a symmetric matrix (n x n, used up) to a tridiagonal one with the same eigenvalues.
void tridiagonal(std::vector<double>& a, std::int64_t n, std::vector<double>& diagonal, std::vector<double>& beside);

}  // namespace fastimg::radiomics
