#include "dicom/rescale.hpp"

#include "cpu/begin_baseline.hpp"
#include "dicom/rescale_loop.hpp"
