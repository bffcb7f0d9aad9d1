#include "harmonize/combat.hpp"

#ifdef FASTIMG_X86
#include "cpu/begin_avx512.hpp"
#include "harmonize/combat_loop.hpp"
#endif
