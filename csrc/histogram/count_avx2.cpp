#include "histogram/count.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx2.hpp"
#include "histogram/count_loop.hpp"
#endif
