#include "radiomics/map_pairs.hpp"

#ifdef FASTIMG_X86

#include "cpu/begin_avx2.hpp"
#include "radiomics/map_correlation_loop.hpp"
#include "radiomics/map_pairs_loop.hpp"
#endif
