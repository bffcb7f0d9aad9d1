#include "harmonize/n4.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx512.hpp"
#include "harmonize/n4_loop.hpp"
#endif
