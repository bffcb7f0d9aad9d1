#include "resampling/prefilter.hpp"

#include "cpu/begin_baseline.hpp"
#include "resampling/prefilter_loop.hpp"
