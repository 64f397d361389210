# gyrfalcon.node: the Node boundary over gyrfalcon_core.

# cmake-js names the headers' folders; without it, Node is asked where the packages are.
if(DEFINED CMAKE_JS_INC)
  set(node_include_dirs ${CMAKE_JS_INC})
else()
  execute_process(
    COMMAND node -p "['node-addon-api','node-api-headers'].map((n)=>require(n).include_dir).join(';')"
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    OUTPUT_VARIABLE node_include_dirs OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "node-addon-api and node-api-headers are needed: run npm ci")
  endif()
endif()

gyrfalcon_json_list(napi_sources "${CMAKE_CURRENT_SOURCE_DIR}/native/" napi)
add_library(gyrfalcon_addon MODULE ${napi_sources})
set_target_properties(gyrfalcon_addon PROPERTIES OUTPUT_NAME gyrfalcon PREFIX "" SUFFIX ".node")
target_link_libraries(gyrfalcon_addon PRIVATE gyrfalcon_core)
target_include_directories(gyrfalcon_addon SYSTEM PRIVATE ${node_include_dirs})
target_compile_definitions(gyrfalcon_addon PRIVATE
  NAPI_VERSION=9
  NAPI_DISABLE_CPP_EXCEPTIONS
  NODE_ADDON_API_DISABLE_DEPRECATED
  NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
if(APPLE)
  target_link_options(gyrfalcon_addon PRIVATE -undefined dynamic_lookup)
else()
  # An addon that only a worker loaded is unmapped when that worker ends, under the feet of our
  # own threads; nodelete keeps the code mapped.
  target_link_options(gyrfalcon_addon PRIVATE -Wl,-z,nodelete
    "-Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/cmake/addon.map")
endif()
if(GYRFALCON_STATIC_STDLIB)
  target_link_options(gyrfalcon_addon PRIVATE -static-libstdc++ -static-libgcc)
endif()
