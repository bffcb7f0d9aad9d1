#include "dicom/jpeg_stream.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>
#endif

#ifdef FASTIMG_X86
#include "cpu/begin_avx512.hpp"
#include "dicom/jpeg_loop.hpp"
#endif
