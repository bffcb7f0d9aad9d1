#include "harmonize/clahe.hpp"

#include "cpu/begin_baseline.hpp"
#include "harmonize/clahe_loop.hpp"
