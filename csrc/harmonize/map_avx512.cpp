#include "harmonize/map.hpp"

#ifdef FASTIMG_X86
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 says so of its own intrinsics
#include <immintrin.h>

#include "cpu/begin_avx512.hpp"
#include "harmonize/map_loop.hpp"
#endif
