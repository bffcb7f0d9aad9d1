#include "histogram/moments.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx2.hpp"
#include "histogram/moments_loop.hpp"
#endif
