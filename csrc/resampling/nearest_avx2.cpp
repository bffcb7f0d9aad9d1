#include "resampling/nearest.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>

#include "cpu/begin_avx2.hpp"
#include "resampling/nearest_loop.hpp"
#endif
