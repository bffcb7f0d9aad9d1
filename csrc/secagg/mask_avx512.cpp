#include <cstring>
#include <type_traits>

#include "secagg/mask.hpp"

#ifdef FASTIMG_X86
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 in its own header, PR 105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "cpu/begin_avx512.hpp"
#pragma GCC target("aes,vaes")
#define FASTIMG_BYTES 64
#define FASTIMG_AESNI
#define FASTIMG_VAES
#include "secagg/mask_loop.hpp"
#endif
