#include "harmonize/map.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx2.hpp"
#include "harmonize/map_loop.hpp"
#endif
