#include "filtering/recursive.hpp"

#ifdef FASTIMG_X86

#include "cpu/begin_avx2.hpp"
#include "filtering/recursive_loop.hpp"
#endif
