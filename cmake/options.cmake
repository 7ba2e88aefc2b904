# Compiler settings that every target shares.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # the cleanup and warn_unused_result attributes, builtins for overflow checks
foreach(flags CMAKE_C_FLAGS_RELEASE CMAKE_C_FLAGS_RELWITHDEBINFO CMAKE_C_FLAGS_MINSIZEREL)
  string(REPLACE "-DNDEBUG" "" ${flags} "${${flags}}") # asserts stay on
endforeach()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
include(CheckPIESupported)
check_pie_supported()

set(PIXBUS_SANITIZE "" CACHE STRING "sanitizers to build with: address,undefined or thread")
set_property(CACHE PIXBUS_SANITIZE PROPERTY STRINGS "" "address,undefined" thread)
option(PIXBUS_FUZZ "build the libFuzzer targets (clang only)" OFF)

add_compile_options(
  -Wall -Wextra -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2
  -Wundef -Wcast-qual -Wimplicit-fallthrough -Werror
  -fvisibility=hidden -fno-common -fstack-protector-strong -fno-omit-frame-pointer)
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  # [[gnu::…]] in C17, as gcc takes it; and uthash's macros fall through with comments, which only gcc reads (gcc checks ours).
  add_compile_options(-fdouble-square-bracket-attributes -Wno-implicit-fallthrough)
endif()
add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)
if(PIXBUS_SANITIZE)
  add_compile_options(-fsanitize=${PIXBUS_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PIXBUS_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
add_compile_definitions(_GNU_SOURCE PIXBUS_VERSION="${PROJECT_VERSION}")
include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/lib)
