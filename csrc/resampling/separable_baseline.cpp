#include "resampling/separable.hpp"

#include "cpu/begin_baseline.hpp"
#include "resampling/separable_loop.hpp"
