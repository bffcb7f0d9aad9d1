#include "filtering/fir.hpp"

#ifdef FASTIMG_X86

#include "cpu/begin_avx512.hpp"
#include "filtering/fir_loop.hpp"
#endif
