#include "harmonize/window.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx2.hpp"
#include "harmonize/window_loop.hpp"
#endif
