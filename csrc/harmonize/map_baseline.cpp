#include "harmonize/map.hpp"

#include "cpu/begin_baseline.hpp"
#include "harmonize/map_loop.hpp"
