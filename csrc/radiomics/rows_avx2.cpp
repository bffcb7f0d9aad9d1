#include "radiomics/rows.hpp"

#ifdef FASTIMG_X86

#include "cpu/begin_avx2.hpp"
#include "radiomics/rows_loop.hpp"
#endif
