#include "dicom/jpeg_stream.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>
#endif

#include "cpu/begin_baseline.hpp"
#include "dicom/jpeg_loop.hpp"
