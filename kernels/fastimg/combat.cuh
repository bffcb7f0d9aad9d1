// ComBat (Johnson, Li & Rabinovic, Biostatistics 2007): the step that touches the data.
//
//     y = mean + (x - mean - gamma) * alpha,   mean = grand mean + covariates . beta,  alpha = 1 / sqrt(delta)
//
// gamma is the batch's shift in the feature's unit (the standardised one times the pooled sd). Cost: 3 + 1, 2 a
// covariate.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM double combat_apply(double x, double mean, double gamma, double alpha) {
  return mean + ((x - mean) - gamma) * alpha;
}

}  // namespace fastimg
