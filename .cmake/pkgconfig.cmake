# espalier.pc: all components that were built, for `pkg-config --cflags --libs espalier`. They are static libraries, so each
# stands before those that it builds on, and before the packages that it links; those with a .pc file of their own are
# required by name. Paths begin at the file itself: the installed tree may be moved.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_prefix /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
set(pc_libs "")
set(pc_packages "")
foreach(component ${built})
  string(PREPEND pc_libs "-lespalier_${component} ")
  list(APPEND pc_packages ${espalier_${component}_packages})
  foreach(package ${espalier_${component}_optional})
    if(${package}_FOUND)
      list(APPEND pc_packages ${package})
    endif()
  endforeach()
endforeach()
list(REMOVE_DUPLICATES pc_packages)
set(pc_requires "")
foreach(package ${pc_packages})
  if(package STREQUAL "OpenMP")
    string(APPEND pc_libs "-fopenmp ")
  elseif(package STREQUAL "SerialOpenBLAS")
    get_filename_component(folder ${SerialOpenBLAS_LIBRARY} DIRECTORY)
    string(APPEND pc_libs "-L${folder} -Wl,-rpath,${folder} -lopenblas ")
  elseif(package STREQUAL "ONNX")
    string(APPEND pc_libs "-lonnx_proto ")
    string(APPEND pc_requires "protobuf ")
  else()
    set(name ${package})  # as its .pc file is called
    string(REGEX REPLACE "^HWY$" libhwy name ${name})
    string(REGEX REPLACE "^ZLIB$" zlib name ${name})
    string(REGEX REPLACE "^PNG$" libpng name ${name})
    string(APPEND pc_requires "${name} ")
  endif()
endforeach()
string(CONFIGURE "prefix=\${pcfiledir}/@pc_prefix@
libdir=\${prefix}/@CMAKE_INSTALL_LIBDIR@
includedir=\${prefix}/@CMAKE_INSTALL_INCLUDEDIR@

Name: espalier
Description: @PROJECT_DESCRIPTION@
Version: @PROJECT_VERSION@
Requires: @pc_requires@
Cflags: -I\${includedir}
Libs: -L\${libdir} @pc_libs@
" pc @ONLY)
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/espalier.pc CONTENT "${pc}")
install(FILES ${PROJECT_BINARY_DIR}/espalier.pc DESTINATION ${pkgconfig_dir})
