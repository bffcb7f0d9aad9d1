#include "histogram/moments.hpp"

#include "cpu/begin_baseline.hpp"
#include "histogram/moments_loop.hpp"
