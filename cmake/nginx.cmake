# Dynamic modules for the distribution's nginx, built outside nginx's own build against the headers of nginx-dev.
#
# nginx-dev brings headers and the configure script but no ngx_auto_config.h. So the first build copies its tree into the
# build directory and runs configure there, once, with the distribution's flags: it compiles nothing and takes seconds.
# nginx refuses a module that was built for another version or with other features when it starts.
set(PIXBUS_NGINX_SOURCE /usr/share/nginx/src CACHE PATH "the tree that the package nginx-dev installs")
set(PIXBUS_NGINX_TREE ${CMAKE_BINARY_DIR}/nginx)
set(PIXBUS_CMAKE_DIRECTORY ${CMAKE_CURRENT_LIST_DIR})
if(NOT EXISTS ${PIXBUS_NGINX_SOURCE}/conf_flags)
  message(FATAL_ERROR "nginx's headers are missing: install the package nginx-dev (looked in ${PIXBUS_NGINX_SOURCE})")
endif()

add_custom_command(
  OUTPUT ${PIXBUS_NGINX_TREE}/objs/ngx_auto_config.h
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${PIXBUS_NGINX_TREE}
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PIXBUS_NGINX_SOURCE} ${PIXBUS_NGINX_TREE}
  COMMAND bash -c "cd nginx && . ./conf_flags && exec ./configure \"\${NGX_CONF_FLAGS[@]}\" >configure.log"
  DEPENDS ${PIXBUS_NGINX_SOURCE}/conf_flags
  WORKING_DIRECTORY ${CMAKE_BINARY_DIR}
  COMMENT "Configuring nginx's headers"
  VERBATIM)
add_custom_target(nginx_headers DEPENDS ${PIXBUS_NGINX_TREE}/objs/ngx_auto_config.h)

# use_nginx_headers(TARGET): its files may include nginx's headers, which are exempt from our warnings.
function(use_nginx_headers target)
  add_dependencies(${target} nginx_headers)
  foreach(directory src/core src/event src/event/modules src/os/unix src/http src/http/modules src/http/v2 objs)
    target_include_directories(${target} SYSTEM PRIVATE ${PIXBUS_NGINX_TREE}/${directory})
  endforeach()
endfunction()

# add_nginx_module(NAME SOURCES … [USES …]): the nginx module NAME (an ngx_module_t of that name) as modules/NAME.so.
function(add_nginx_module name)
  cmake_parse_arguments(MODULE "" "" "SOURCES;USES" ${ARGN})
  set(NGINX_MODULE ${name})
  configure_file(${PIXBUS_CMAKE_DIRECTORY}/nginx_glue.c.in ${CMAKE_CURRENT_BINARY_DIR}/${name}_glue.c @ONLY)
  add_library(${name} MODULE ${MODULE_SOURCES} ${CMAKE_CURRENT_BINARY_DIR}/${name}_glue.c)
  set_target_properties(${name} PROPERTIES PREFIX "")
  use_nginx_headers(${name})
  target_link_libraries(${name} PRIVATE ${MODULE_USES} pixbus_nginx)
  # Nothing of the libraries inside may meet symbols of the same name in nginx or in another module.
  target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL)
endfunction()

# embed_text(TARGET SYMBOL FILE): the file as `const char SYMBOL[]`, NUL-terminated, built into the target.
function(embed_text target symbol file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  file(READ ${CMAKE_CURRENT_SOURCE_DIR}/${file} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c @ONLY
       CONTENT "extern const char ${symbol}[];\nconst char ${symbol}[] = {@bytes@0};\n")
  target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
endfunction()
