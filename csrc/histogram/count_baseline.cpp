#include "histogram/count.hpp"

#include "cpu/begin_baseline.hpp"
#include "histogram/count_loop.hpp"
