#include "harmonize/window.hpp"

#include "cpu/begin_baseline.hpp"
#include "harmonize/window_loop.hpp"
