#include "histogram/filter.hpp"

#include "cpu/begin_baseline.hpp"
#include "histogram/filter_loop.hpp"
