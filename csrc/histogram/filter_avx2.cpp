#include "histogram/filter.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx2.hpp"
#include "histogram/filter_loop.hpp"
#endif
