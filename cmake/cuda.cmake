# Tests of the CUDA kernels on the simulator: the CPU's lookup tests once more, with the simulated
# kernel in the place of instruction sets. Not part of the default target; where there is no nvcc
# there is nothing to build.

find_program(GYRFALCON_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin
             PATHS /usr/local/cuda/bin)
if(NOT TARGET gyrfalcon_cuda_kernels OR NOT GYRFALCON_NVCC OR CMAKE_CROSSCOMPILING OR GYRFALCON_SANITIZE)
  return()
endif()

file(GLOB_RECURSE cusim_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/*.cc)
add_executable(gyrfalcon_cuda_tests EXCLUDE_FROM_ALL ${cusim_sources}
  test/native/lookup_corner_test.cc test/native/lookup_differential_test.cc
  test/cuda/host_test.cc)
add_dependencies(gyrfalcon_cuda_tests gyrfalcon_cuda_kernels)
target_include_directories(gyrfalcon_cuda_tests PRIVATE test test/native test/cusim/tests test/cuda)
target_compile_definitions(gyrfalcon_cuda_tests PRIVATE
  GYRFALCON_PTX="${cuda_out}/gyrfalcon.ptx" LookupBackends=SimulatedLookupBackends)
target_link_libraries(gyrfalcon_cuda_tests PRIVATE gyrfalcon_core GTest::gtest GTest::gtest_main)

# Drivers for the TypeScript tests.
add_library(gyrfalcon_broken_driver MODULE EXCLUDE_FROM_ALL test/cuda/broken_driver.cc)
set_target_properties(gyrfalcon_broken_driver PROPERTIES PREFIX "" OUTPUT_NAME broken_driver
  SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
file(GLOB simulator_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/cusim/*.cc)
add_library(gyrfalcon_sim_driver MODULE EXCLUDE_FROM_ALL test/cuda/sim_driver.cc
  ${simulator_sources})
target_include_directories(gyrfalcon_sim_driver PRIVATE native test)
target_link_libraries(gyrfalcon_sim_driver PRIVATE gyrfalcon_options)
set_target_properties(gyrfalcon_sim_driver PROPERTIES PREFIX "" OUTPUT_NAME sim_driver
  SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
add_dependencies(gyrfalcon_cuda_tests gyrfalcon_broken_driver gyrfalcon_sim_driver)
target_compile_definitions(gyrfalcon_cuda_tests PRIVATE
  GYRFALCON_SIM_DRIVER="${CMAKE_CURRENT_BINARY_DIR}/sim_driver.so")
