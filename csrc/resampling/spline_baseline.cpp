#include "resampling/spline.hpp"

#include "cpu/begin_baseline.hpp"
#include "resampling/spline_loop.hpp"
