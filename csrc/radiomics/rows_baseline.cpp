#include "radiomics/rows.hpp"

#include "cpu/begin_baseline.hpp"
#include "radiomics/rows_loop.hpp"
