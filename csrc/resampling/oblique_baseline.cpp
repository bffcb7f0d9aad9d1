#include "resampling/oblique.hpp"

#include "cpu/begin_baseline.hpp"
#include "resampling/oblique_loop.hpp"
