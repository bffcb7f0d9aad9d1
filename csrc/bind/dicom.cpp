// fastimg.dicom._native: a table of contents; each part registers its functions.
#include "bind/dicom_decode.hpp"
#include "bind/dicom_polygon.hpp"
#include "bind/dicom_rewrite.hpp"
#include "bind/dicom_scan.hpp"

#include "bind/capi.hpp"

PYBIND11_MODULE(_native, module) {
  if (fastimg_import_core() != 0) throw pybind11::error_already_set();
  module.doc() = "DICOM files to columns and voxels. Arguments are checked by the callers in Python.";
  fastimg::dicom::register_scan(module);
  fastimg::dicom::register_decode(module);
  fastimg::dicom::register_polygon(module);
  fastimg::dicom::register_rewrite(module);
}
