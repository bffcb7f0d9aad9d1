// Opens the AVX2 region of a stub; every standard header must have been included before.
#pragma GCC target("avx2,fma,bmi,bmi2,lzcnt,popcnt,f16c")
#define FASTIMG_LEVEL avx2
#define FASTIMG_AVX2 1
