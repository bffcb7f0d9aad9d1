#include "resampling/oblique.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>

#include "cpu/begin_avx512.hpp"
#include "resampling/oblique_loop.hpp"
#endif
