# add_part(NAME SOURCES … [USES …]): a static library of ours and what it builds on.
function(add_part name)
  cmake_parse_arguments(PART "" "" "SOURCES;USES" ${ARGN})
  add_library(${name} STATIC ${PART_SOURCES})
  target_link_libraries(${name} PUBLIC ${PART_USES})
endfunction()

# use_package(TARGET MODULE): link the distribution's library that pkg-config knows as MODULE.
function(use_package target module)
  if(NOT TARGET PkgConfig::${module})
    pkg_check_modules(${module} REQUIRED IMPORTED_TARGET GLOBAL ${module})
  endif()
  target_link_libraries(${target} PUBLIC PkgConfig::${module})
endfunction()

# add_program(NAME SOURCES … USES …): a program in bin/.
function(add_program name)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;USES" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE ${PROGRAM_USES})
endfunction()

# add_actor(NAME SOURCES … [USES …]): the program pixbus-NAME, an actor of the bus. The sources but main.c form a library
# that tests link.
function(add_actor name)
  cmake_parse_arguments(ACTOR "" "" "SOURCES;USES" ${ARGN})
  add_part(pixbus_actor_${name} SOURCES ${ACTOR_SOURCES} USES pixbus_bus ${ACTOR_USES})
  add_program(pixbus-${name} SOURCES main.c USES pixbus_actor_${name})
endfunction()

# add_unit_test(NAME USES …): tests/unit/NAME.c with cmocka.
function(add_unit_test name)
  cmake_parse_arguments(UNIT "" "" "USES" ${ARGN})
  add_executable(unit_${name} ${CMAKE_SOURCE_DIR}/tests/unit/${name}.c)
  target_link_libraries(unit_${name} PRIVATE ${UNIT_USES})
  use_test_package(unit_${name} cmocka)
  set_target_properties(unit_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME unit/${name} COMMAND unit_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(unit/${name} PROPERTIES TIMEOUT 60 LABELS unit)
  if(PIXBUS_SANITIZE STREQUAL "thread") # the distribution's libraries are not instrumented, and look like races
    set_tests_properties(unit/${name} PROPERTIES ENVIRONMENT
      "TSAN_OPTIONS=ignore_noninstrumented_modules=1:suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp")
  endif()
endfunction()

function(use_test_package target module)
  if(NOT TARGET PkgConfig::${module})
    pkg_check_modules(${module} REQUIRED IMPORTED_TARGET GLOBAL ${module})
  endif()
  target_link_libraries(${target} PRIVATE PkgConfig::${module})
endfunction()

# add_fuzz(NAME USES …): tests/fuzz/NAME.c, as a libFuzzer program with PIXBUS_FUZZ, and always as a plain program that
# replays the files it is given, run over tests/fuzz/corpus/NAME.
function(add_fuzz name)
  cmake_parse_arguments(FUZZ "" "" "USES" ${ARGN})
  add_executable(fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}.c)
  target_link_libraries(fuzz_${name} PRIVATE ${FUZZ_USES})
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(PIXBUS_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
    add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 60 LABELS fuzz)
  endif()
endfunction()
