#include "cohort/bitshuffle.hpp"

#include <initializer_list>

#include "cpu/begin_baseline.hpp"

#include "cohort/bitshuffle_loop.hpp"
