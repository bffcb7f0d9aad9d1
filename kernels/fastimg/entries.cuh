// FASTIMG_WANTED(name, code): the code of one entry, where that entry is asked for.
//
// A file with an entry for each pair of types compiles in a minute. A launch needs one of them: it asks by
// -DFASTIMG_WANT_<name>=1 and waits a second. -DFASTIMG_ALL gives all. (The test for a macro that is 1 is that of the
// Linux kernel's IS_ENABLED.)
#pragma once

#ifdef FASTIMG_ALL
#define FASTIMG_WANTED(name, ...) __VA_ARGS__
#else
#define FASTIMG_WANTED(name, ...) FASTIMG_JOIN(FASTIMG_EMIT_, FASTIMG_IS_1(FASTIMG_WANT_##name))(__VA_ARGS__)
#endif

#define FASTIMG_EMIT_0(...)
#define FASTIMG_EMIT_1(...) __VA_ARGS__
#define FASTIMG_JOIN(a, b) FASTIMG_JOIN_(a, b)
#define FASTIMG_JOIN_(a, b) a##b
#define FASTIMG_IS_1(x) FASTIMG_IS_1_(x)
#define FASTIMG_IS_1_(x) FASTIMG_IS_1__(FASTIMG_MARK_##x)
#define FASTIMG_IS_1__(x) FASTIMG_SECOND(x 1, 0, )
#define FASTIMG_SECOND(first, second, ...) second
#define FASTIMG_MARK_1 ,
