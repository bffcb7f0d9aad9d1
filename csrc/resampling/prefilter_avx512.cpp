#include "resampling/prefilter.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>

#include "cpu/begin_avx512.hpp"
#include "resampling/prefilter_loop.hpp"
#endif
