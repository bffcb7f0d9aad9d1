// Opens the AVX-512 region of a stub; every standard header must have been included before.
// clang-format off
#pragma GCC target("avx2,fma,bmi,bmi2,lzcnt,popcnt,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512cd,prefer-vector-width=512")
// clang-format on
#define FASTIMG_LEVEL avx512
