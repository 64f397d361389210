# Reads native/sources.json, the one list of sources that binding.gyp reads too.

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${CMAKE_CURRENT_SOURCE_DIR}/native/sources.json ${CMAKE_CURRENT_SOURCE_DIR}/package.json)
file(READ ${CMAKE_CURRENT_SOURCE_DIR}/native/sources.json GYRFALCON_SOURCES_JSON)
file(READ ${CMAKE_CURRENT_SOURCE_DIR}/package.json GYRFALCON_PACKAGE_JSON)
string(JSON GYRFALCON_VERSION GET "${GYRFALCON_PACKAGE_JSON}" version)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  set(GYRFALCON_ARCH arm64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(GYRFALCON_ARCH x64)
else()
  set(GYRFALCON_ARCH other)
endif()

# gyrfalcon_json_list(<variable> <prefix> <key>...): the strings of an array, each with a prefix.
function(gyrfalcon_json_list variable prefix)
  string(JSON length LENGTH "${GYRFALCON_SOURCES_JSON}" ${ARGN})
  set(items "")
  if(length GREATER 0)
    math(EXPR last "${length} - 1")
    foreach(i RANGE ${last})
      string(JSON item GET "${GYRFALCON_SOURCES_JSON}" ${ARGN} ${i})
      list(APPEND items "${prefix}${item}")
    endforeach()
  endif()
  set(${variable} "${items}" PARENT_SCOPE)
endfunction()

# gyrfalcon_isa_sources(<variable>): the files of this machine's instruction sets, each given its
# own flags. Nothing else may be compiled with them: it would run on CPUs that lack them.
function(gyrfalcon_isa_sources variable)
  string(JSON count LENGTH "${GYRFALCON_SOURCES_JSON}" isa)
  math(EXPR last "${count} - 1")
  set(all "")
  foreach(i RANGE ${last})
    string(JSON isa MEMBER "${GYRFALCON_SOURCES_JSON}" isa ${i})
    string(JSON arch GET "${GYRFALCON_SOURCES_JSON}" isa ${isa} arch)
    if(arch STREQUAL GYRFALCON_ARCH)
      gyrfalcon_json_list(files "${CMAKE_CURRENT_SOURCE_DIR}/native/" ${isa})
      gyrfalcon_json_list(flags "" isa ${isa} flags)
      set_source_files_properties(${files} PROPERTIES COMPILE_OPTIONS "${flags}")
      list(APPEND all ${files})
    endif()
  endforeach()
  set(${variable} "${all}" PARENT_SCOPE)
endfunction()
