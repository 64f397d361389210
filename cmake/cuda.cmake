# Tests of CUDA on the simulators. Not part of the default target; where there is no nvcc there is
# nothing to build.

find_program(GYRFALCON_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin
             PATHS /usr/local/cuda/bin)
if(NOT TARGET gyrfalcon_cuda_kernels OR NOT GYRFALCON_NVCC OR CMAKE_CROSSCOMPILING)
  return()
endif()

# The kernels: the CPU's lookup tests once more, with the simulated kernel in the place of
# instruction sets.
file(GLOB cusim_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/*.cc)
file(GLOB kernel_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/tests/*.cc)
list(FILTER kernel_tests EXCLUDE REGEX "/driver_test\\.cc$")
add_executable(gyrfalcon_cuda_tests EXCLUDE_FROM_ALL ${cusim_sources} ${kernel_tests}
  test/native/lookup_corner_test.cc test/native/lookup_differential_test.cc)
add_dependencies(gyrfalcon_cuda_tests gyrfalcon_cuda_kernels)
target_include_directories(gyrfalcon_cuda_tests PRIVATE test test/native test/cusim/tests)
target_compile_definitions(gyrfalcon_cuda_tests PRIVATE
  GYRFALCON_PTX="${cuda_out}/gyrfalcon.ptx" LookupBackends=SimulatedLookupBackends)
target_link_libraries(gyrfalcon_cuda_tests PRIVATE gyrfalcon_core GTest::gtest GTest::gtest_main)

# A driver for the TypeScript tests.
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
# With sanitizers that of the build without them: it is no part of what they look at, and slow enough.
set(cusim_driver ${CMAKE_CURRENT_SOURCE_DIR}/build/cusim/libcuda.so.1)
if(NOT GYRFALCON_SANITIZE)
  file(GLOB driver_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/driver/*.cc)
  add_library(gyrfalcon_cusim_driver MODULE EXCLUDE_FROM_ALL ${cusim_sources} ${driver_sources})
  target_include_directories(gyrfalcon_cusim_driver PRIVATE test)
  target_include_directories(gyrfalcon_cusim_driver SYSTEM PRIVATE ${GYRFALCON_CUDA_INCLUDE})
  target_link_libraries(gyrfalcon_cusim_driver PRIVATE gyrfalcon_options)
  set_target_properties(gyrfalcon_cusim_driver PROPERTIES PREFIX "" OUTPUT_NAME libcuda SUFFIX ".so.1"
    CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/cusim)
  set(cusim_driver ${CMAKE_CURRENT_BINARY_DIR}/cusim/libcuda.so.1)
endif()

# The host's side, on that driver.
add_executable(gyrfalcon_cuda_host_tests EXCLUDE_FROM_ALL test/cusim/tests/driver_test.cc
  test/cuda/cached_table_test.cc test/cuda/driver_api_test.cc test/cuda/host_test.cc)
if(TARGET gyrfalcon_cusim_driver)
  add_dependencies(gyrfalcon_cuda_host_tests gyrfalcon_cusim_driver)
endif()
target_include_directories(gyrfalcon_cuda_host_tests PRIVATE test test/cuda test/cusim/tests)
target_include_directories(gyrfalcon_cuda_host_tests SYSTEM PRIVATE ${GYRFALCON_CUDA_INCLUDE})
target_compile_definitions(gyrfalcon_cuda_host_tests PRIVATE
  GYRFALCON_CUSIM_DRIVER="${cusim_driver}")
target_link_libraries(gyrfalcon_cuda_host_tests PRIVATE gyrfalcon_core GTest::gtest
  GTest::gtest_main)
