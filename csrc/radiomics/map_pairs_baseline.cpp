#include "radiomics/map_pairs.hpp"

#include "cpu/begin_baseline.hpp"
#include "radiomics/map_correlation_loop.hpp"
#include "radiomics/map_pairs_loop.hpp"
