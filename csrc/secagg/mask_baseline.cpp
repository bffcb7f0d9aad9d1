#include <cstring>
#include <type_traits>

#include "secagg/mask.hpp"

#include "cpu/begin_baseline.hpp"
#define FASTIMG_BYTES 16
#include "secagg/mask_loop.hpp"
