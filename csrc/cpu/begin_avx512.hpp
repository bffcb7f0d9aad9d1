// Opens the AVX-512 region of a stub; every standard header must have been included before.
#pragma GCC target("avx2,fma,bmi,bmi2,lzcnt,popcnt,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512cd,prefer-vector-width=512")
#define FASTIMG_LEVEL avx512
