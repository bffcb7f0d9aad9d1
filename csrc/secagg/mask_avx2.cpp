#include <cstring>
#include <type_traits>

#include "secagg/mask.hpp"

#ifdef FASTIMG_X86
#include <immintrin.h>

#include "cpu/begin_avx2.hpp"
#pragma GCC target("aes")
#define FASTIMG_BYTES 32
#define FASTIMG_AESNI
#include "secagg/mask_loop.hpp"
#endif
