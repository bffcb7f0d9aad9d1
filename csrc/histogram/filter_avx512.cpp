#include "histogram/filter.hpp"

#ifdef FASTIMG_X86
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 says so of its own intrinsics
#include <immintrin.h>

#include "cpu/begin_avx512.hpp"
#include "histogram/filter_loop.hpp"
#endif
