#include "resampling/nearest.hpp"

#include "cpu/begin_baseline.hpp"
#include "resampling/nearest_loop.hpp"
