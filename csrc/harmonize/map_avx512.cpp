#include "harmonize/map.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx512.hpp"
#include "harmonize/map_loop.hpp"
#endif
