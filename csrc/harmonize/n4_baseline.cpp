#include "harmonize/n4.hpp"

#include "cpu/begin_baseline.hpp"
#include "harmonize/n4_loop.hpp"
