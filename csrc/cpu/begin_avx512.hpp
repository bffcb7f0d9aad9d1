// Opens the AVX-512 region of a stub; every standard header must have been included before.
// Loops ask for FASTIMG_AVX512, not __AVX512F__: the pragma does not define that one where the preprocessor runs alone.
// clang-format off
#pragma GCC target("avx2,fma,bmi,bmi2,lzcnt,popcnt,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512cd,prefer-vector-width=512")
// clang-format on
#define FASTIMG_LEVEL avx512
#define FASTIMG_AVX512 1
