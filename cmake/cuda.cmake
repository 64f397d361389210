# Tests of the CUDA kernels on the simulator: the CPU's lookup tests once more, with the simulated
# kernel in the place of instruction sets. Not part of the default target; where there is no nvcc
# there is nothing to build.

find_program(GYRFALCON_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin
             PATHS /usr/local/cuda/bin)
if(NOT TARGET gyrfalcon_cuda_kernels OR NOT GYRFALCON_NVCC OR CMAKE_CROSSCOMPILING OR GYRFALCON_SANITIZE)
  return()
endif()

file(GLOB cusim_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/*.cc
  ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/tests/*.cc)
add_executable(gyrfalcon_cuda_tests EXCLUDE_FROM_ALL ${cusim_sources}
  test/native/lookup_corner_test.cc test/native/lookup_differential_test.cc
  test/cuda/cached_table_test.cc test/cuda/driver_api_test.cc test/cuda/host_test.cc)
add_dependencies(gyrfalcon_cuda_tests gyrfalcon_cuda_kernels)
target_include_directories(gyrfalcon_cuda_tests PRIVATE test test/native test/cusim/tests test/cuda)
target_compile_definitions(gyrfalcon_cuda_tests PRIVATE
  GYRFALCON_PTX="${cuda_out}/gyrfalcon.ptx" LookupBackends=SimulatedLookupBackends)
target_link_libraries(gyrfalcon_cuda_tests PRIVATE gyrfalcon_core GTest::gtest GTest::gtest_main)

# Drivers for the TypeScript tests.
add_library(gyrfalcon_broken_driver MODULE EXCLUDE_FROM_ALL test/cuda/broken_driver.cc)
set_target_properties(gyrfalcon_broken_driver PROPERTIES PREFIX "" OUTPUT_NAME broken_driver
  SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

# The simulated driver: what NVIDIA's headers declare, so that both are checked against each other.
execute_process(COMMAND ${GYRFALCON_NVCC} --dryrun -x cu /dev/null
  OUTPUT_QUIET ERROR_VARIABLE nvcc_plan)
string(REGEX MATCH "TOP=([^\n]+)" nvcc_top "${nvcc_plan}")
find_path(GYRFALCON_CUDA_INCLUDE cuda.h HINTS ${CMAKE_MATCH_1}/include
  ${CMAKE_MATCH_1}/targets/x86_64-linux/include NO_DEFAULT_PATH)
if(NOT GYRFALCON_CUDA_INCLUDE)
  message(WARNING "no cuda.h beside ${GYRFALCON_NVCC}: the simulated driver cannot be built")
  return()
endif()
file(GLOB simulator_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/*.cc
  ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/driver/*.cc)
add_library(gyrfalcon_cusim_driver MODULE EXCLUDE_FROM_ALL ${simulator_sources})
target_include_directories(gyrfalcon_cusim_driver PRIVATE test)
target_include_directories(gyrfalcon_cusim_driver SYSTEM PRIVATE ${GYRFALCON_CUDA_INCLUDE})
target_link_libraries(gyrfalcon_cusim_driver PRIVATE gyrfalcon_options)
set_target_properties(gyrfalcon_cusim_driver PROPERTIES PREFIX "" OUTPUT_NAME libcuda SUFFIX ".so.1"
  CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/cusim)
add_dependencies(gyrfalcon_cuda_tests gyrfalcon_broken_driver gyrfalcon_cusim_driver)
target_include_directories(gyrfalcon_cuda_tests SYSTEM PRIVATE ${GYRFALCON_CUDA_INCLUDE})
target_compile_definitions(gyrfalcon_cuda_tests PRIVATE
  GYRFALCON_CUSIM_DRIVER="${CMAKE_CURRENT_BINARY_DIR}/cusim/libcuda.so.1")
