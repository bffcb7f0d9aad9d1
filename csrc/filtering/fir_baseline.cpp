#include "filtering/fir.hpp"

#include "cpu/begin_baseline.hpp"
#include "filtering/fir_loop.hpp"
