#include "harmonize/clahe.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx512.hpp"
#include "harmonize/clahe_loop.hpp"
#endif
