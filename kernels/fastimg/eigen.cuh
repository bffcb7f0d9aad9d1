// Eigenvalues of small symmetric matrices. Ops tells how a choice and a root are taken: of one value (One), or of a
// vector with a matrix in each lane, whose comparisons are vectors too.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM int lower_row(int i) { return i * (i + 1) / 2; }  // where row i of a lower triangle begins

// Householder's reduction (Golub and Van Loan, Matrix Computations, 8.3.1) of a symmetric matrix, given by its lower
// triangle and used up, to a tridiagonal one: its diagonal and the squares of what stands beside it. v, w: room for n.
template <class Ops, class V>
FASTIMG_ATOM void tridiagonal_squares(V* a, int n, V* diagonal, V* square, V* v, V* w) {
  for (int k = 0; k < n - 2; ++k) {
    V rest = {};
    for (int i = k + 2; i < n; ++i) {
      v[i] = a[lower_row(i) + k];
      rest += v[i] * v[i];
    }
    const V first = a[lower_row(k + 1) + k], whole = first * first + rest, none = {};
    V length = whole, head, beta;
    Ops::root(length);
    Ops::choose(head, first < 0.0, first - length, first + length);
    Ops::choose(beta, rest > 0.0, 2.0 / (head * head + rest), none);  // or the column has its form already
    Ops::choose(v[k + 1], rest > 0.0, head, none);
    diagonal[k] = a[lower_row(k) + k];
    square[k] = whole;
    for (int i = k + 1; i < n; ++i) {
      V sum = {};
      const V* of = a + lower_row(i);
      for (int j = k + 1; j < i; ++j) {
        sum += of[j] * v[j];
        w[j] += of[j] * v[i];
      }
      w[i] = sum + of[i] * v[i];
    }
    V along = {};
    for (int i = k + 1; i < n; ++i) {
      w[i] *= beta;
      along += w[i] * v[i];
    }
    along *= 0.5 * beta;
    for (int i = k + 1; i < n; ++i) w[i] -= along * v[i];
    for (int i = k + 1; i < n; ++i) {
      V* of = a + lower_row(i);
      for (int j = k + 1; j <= i; ++j) of[j] -= v[i] * w[j] + w[i] * v[j];
    }
  }
  diagonal[n - 2] = a[lower_row(n - 2) + n - 2];
  diagonal[n - 1] = a[lower_row(n - 1) + n - 1];
  square[n - 2] = a[lower_row(n - 1) + n - 2] * a[lower_row(n - 1) + n - 2];
}

// The largest absolute eigenvalue, of those in [-1, 1]: Laguerre's method from the right of all roots of the
// characteristic polynomial comes down monotonically, with a cubic last stretch; of the matrix and of its mirror image.
template <class Ops, class V>
FASTIMG_ATOM void largest_absolute(const V* diagonal, const V* square, int size, V& most) {
  const double n = size;
  const V one = V{} + 1.0, none = {};
  V x[2] = {one, one};
  typename Ops::Mask going[2] = {one > 0.0, one > 0.0};
  for (int step = 0; step < 40 && Ops::any(going[0] | going[1]); ++step) {
    V p[2] = {one, one}, dp[2] = {}, ddp[2] = {}, p0[2] = {}, dp0[2] = {}, ddp0[2] = {};
    for (int i = 0; i < size; ++i) {
      const V b = i ? square[i - 1] : none;
      for (int side = 0; side < 2; ++side) {
        const V a = side ? x[side] + diagonal[i] : x[side] - diagonal[i];
        const V p1 = a * p[side] - b * p0[side], dp1 = p[side] + a * dp[side] - b * dp0[side];
        const V ddp1 = 2.0 * dp[side] + a * ddp[side] - b * ddp0[side];
        p0[side] = p[side];
        dp0[side] = dp[side];
        ddp0[side] = ddp[side];
        p[side] = p1;
        dp[side] = dp1;
        ddp[side] = ddp1;
      }
    }
    for (int side = 0; side < 2; ++side) {
      const typename Ops::Mask there = (p[side] > 0.0) & (dp[side] > 0.0) & going[side];
      V inside = (n - 1) * ((n - 1) * dp[side] * dp[side] - n * p[side] * ddp[side]);
      Ops::choose(inside, inside > 0.0, inside, none);
      Ops::root(inside);
      const V fall = n * p[side] / (dp[side] + inside);
      Ops::choose(x[side], there, x[side] - fall, x[side]);
      going[side] = there & (fall >= 1e-14) & (x[side] > 0.0);
    }
  }
  Ops::choose(most, x[0] > x[1], x[0], x[1]);
  Ops::choose(most, most > 0.0, most, none);
  Ops::choose(most, most < 1.0, most, one);
}

// Ops of one value.
struct One {
  using Mask = bool;
  static FASTIMG_MEMBER void root(double& x) { x = sqrt(x); }
  static FASTIMG_MEMBER void choose(double& to, bool first, double a, double b) { to = first ? a : b; }
  static FASTIMG_MEMBER bool any(bool mask) { return mask; }
};

}  // namespace fastimg
