#include "radiomics/rows.hpp"

#ifdef FASTIMG_X86

#include "cpu/begin_avx512.hpp"
#include "radiomics/rows_loop.hpp"
#endif
