// How a compiled module reaches the one thread pool and ISA level of the core module: a capsule taken at import.
#pragma once

#include <Python.h>

#include "cpu/pool.hpp"

// Call once in the module's initialisation. Returns 0, or -1 with a Python error set.
static inline int fastimg_import_core() {
  using fastimg::cpu::Api;
  PyObject* core = PyImport_ImportModule("fastimg._core");  // the package's own attributes are lazy
  if (!core) return -1;
  Py_DECREF(core);
  const void* pointer = PyCapsule_Import("fastimg._core._api", 0);
  if (!pointer) return -1;
  const Api* api = static_cast<const Api*>(pointer);
  if (api->version != fastimg::cpu::kApiVersion) {
    PyErr_SetString(PyExc_ImportError, "fastimg's compiled modules are of different builds: reinstall fastimg");
    return -1;
  }
  fastimg::cpu::imported = api;
  return 0;
}
