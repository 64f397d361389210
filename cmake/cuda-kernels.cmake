# The CUDA kernels: compiled by scripts/cuda-kernels.mjs into a fatbin that fatbin.cc carries. Where
# there is no nvcc the fatbin is empty, and the library says so at run time.

find_program(GYRFALCON_NODE node)
if(NOT GYRFALCON_NODE)
  message(STATUS "No Node to compile CUDA kernels with: built without them")
  return()
endif()
# All build folders of a checkout share one: the kernels do not depend on the host.
set(cuda_out ${CMAKE_CURRENT_BINARY_DIR}/cuda)
if(CMAKE_CURRENT_BINARY_DIR MATCHES "^${CMAKE_CURRENT_SOURCE_DIR}/build(/|$)")
  set(cuda_out ${CMAKE_CURRENT_SOURCE_DIR}/build/cuda)
endif()
file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS
  ${CMAKE_CURRENT_SOURCE_DIR}/native/backends/cuda/*.cu
  ${CMAKE_CURRENT_SOURCE_DIR}/native/backends/cuda/*.cuh
  ${CMAKE_CURRENT_SOURCE_DIR}/native/backends/cuda/*_args.h)
add_custom_command(
  OUTPUT ${cuda_out}/gyrfalcon.fatbin
  BYPRODUCTS ${cuda_out}/kernels.json
  COMMAND ${GYRFALCON_NODE} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/cuda-kernels.mjs ${cuda_out}
  DEPENDS ${cuda_sources} ${CMAKE_CURRENT_SOURCE_DIR}/scripts/cuda-kernels.mjs
  COMMENT "Compiling CUDA kernels" VERBATIM)
add_custom_target(gyrfalcon_cuda_kernels DEPENDS ${cuda_out}/gyrfalcon.fatbin)
set(fatbin_source ${CMAKE_CURRENT_SOURCE_DIR}/native/backends/cuda/fatbin.cc)
set_property(SOURCE ${fatbin_source} APPEND PROPERTY OBJECT_DEPENDS ${cuda_out}/gyrfalcon.fatbin)
set_property(SOURCE ${fatbin_source} APPEND PROPERTY COMPILE_DEFINITIONS
  GYRFALCON_CUDA_FATBIN="${cuda_out}/gyrfalcon.fatbin")
