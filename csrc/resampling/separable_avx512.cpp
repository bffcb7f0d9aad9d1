#include "resampling/separable.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>

#include "cpu/begin_avx512.hpp"
#include "resampling/separable_loop.hpp"
#endif
