// Instruction-set levels and the choice among them at run time.
#pragma once

#if defined(__x86_64__)
#define FASTIMG_X86 1
#endif

namespace fastimg::cpu {

enum class Level : int { baseline = 0, avx2 = 1, avx512 = 2 };

// The highest level this processor runs (CPUID and the OS's saved state).
Level supported();

// The level in force: at most supported(), lowered by set_level() for tests and reproductions.
Level level();
void set_level(Level level);

}  // namespace fastimg::cpu

// An operation declares one table per level, `namespace baseline { extern const Table name; }` and so on,
// and takes the one in force with FASTIMG_PICK(name). Other processors than x86-64 have only the baseline.
#ifdef FASTIMG_X86
#define FASTIMG_DECLARE_TABLE(Table, name) \
  namespace baseline {                     \
  extern const Table name;                 \
  }                                        \
  namespace avx2 {                         \
  extern const Table name;                 \
  }                                        \
  namespace avx512 {                       \
  extern const Table name;                 \
  }
#define FASTIMG_PICK(name)                                                       \
  (::fastimg::cpu::api().level() == ::fastimg::cpu::Level::avx512 ? avx512::name \
   : ::fastimg::cpu::api().level() == ::fastimg::cpu::Level::avx2 ? avx2::name   \
                                                                  : baseline::name)
#else
#define FASTIMG_DECLARE_TABLE(Table, name) \
  namespace baseline {                     \
  extern const Table name;                 \
  }
#define FASTIMG_PICK(name) (baseline::name)
#endif
