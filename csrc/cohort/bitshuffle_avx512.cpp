#include "cohort/bitshuffle.hpp"

#include <initializer_list>

#ifdef FASTIMG_X86
#include "cpu/begin_avx512.hpp"

#include "cohort/bitshuffle_loop.hpp"
#endif
