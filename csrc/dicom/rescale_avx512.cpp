#include "dicom/rescale.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx512.hpp"
#include "dicom/rescale_loop.hpp"
#endif
