# The C++ tests: every test/native/*_test.cc in one program, plus its helpers.

if(CMAKE_CROSSCOMPILING)
  # The cross root has no GoogleTest; Debian's libgtest-dev ships the sources.
  add_subdirectory(/usr/src/googletest ${CMAKE_CURRENT_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
else()
  find_package(GTest REQUIRED)
endif()

file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/test/native/*.cc)
# For a developer's, an emulated or a sanitized run: only the tests whose file's name matches.
set(GYRFALCON_TEST_FILES "" CACHE STRING "Regular expression over the names of test sources")
if(GYRFALCON_TEST_FILES)
  set(test_helpers ${test_sources})
  list(FILTER test_helpers EXCLUDE REGEX "_test\\.cc$")
  list(FILTER test_sources INCLUDE REGEX "${GYRFALCON_TEST_FILES}")
  list(APPEND test_sources ${test_helpers})
  list(REMOVE_DUPLICATES test_sources)
endif()
add_executable(gyrfalcon_tests ${test_sources})
# What is tested is optimised; the tests themselves only have to compile soon.
if(GYRFALCON_SANITIZE)
  set_source_files_properties(${test_sources} PROPERTIES COMPILE_OPTIONS "-O0")
else()
  set_source_files_properties(${test_sources} PROPERTIES COMPILE_OPTIONS "-O1")
endif()
target_include_directories(gyrfalcon_tests PRIVATE test/native)
if(CMAKE_CROSSCOMPILING)
  target_link_libraries(gyrfalcon_tests PRIVATE gyrfalcon_core gtest gtest_main)
else()
  target_link_libraries(gyrfalcon_tests PRIVATE gyrfalcon_core GTest::gtest GTest::gtest_main)
endif()
# Only where it is used: a folder in the command keeps a compiler's cache from serving other clones.
set(ort_tests ${test_sources})
list(FILTER ort_tests INCLUDE REGEX "/ort_[a-z]+_test\\.cc$")
set_property(SOURCE ${ort_tests} APPEND PROPERTY
  COMPILE_DEFINITIONS GYRFALCON_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
add_test(NAME gyrfalcon_tests COMMAND gyrfalcon_tests)

include(cmake/cuda.cmake)
