#include "resampling/spline.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>

#include "cpu/begin_avx2.hpp"
#include "resampling/spline_loop.hpp"
#endif
