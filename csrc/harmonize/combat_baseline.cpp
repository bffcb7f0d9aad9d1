#include "harmonize/combat.hpp"

#include "cpu/begin_baseline.hpp"
#include "harmonize/combat_loop.hpp"
