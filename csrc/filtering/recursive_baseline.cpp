#include "filtering/recursive.hpp"

#include "cpu/begin_baseline.hpp"
#include "filtering/recursive_loop.hpp"
