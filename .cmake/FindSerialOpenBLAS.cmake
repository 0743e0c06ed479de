# SerialOpenBLAS::SerialOpenBLAS: OpenBLAS with LAPACK and without threads of its own, as Debian has it in a folder
# beside the variants with threads. The folder is put into the run path of what links it, so that the system-wide choice
# of libblas does not matter.
find_library(SerialOpenBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-serial NO_CMAKE_SYSTEM_PATH
             PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib)
find_path(SerialOpenBLAS_INCLUDE_DIR NAMES cblas.h PATH_SUFFIXES ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial
          ${CMAKE_LIBRARY_ARCHITECTURE} openblas-serial)
mark_as_advanced(SerialOpenBLAS_LIBRARY SerialOpenBLAS_INCLUDE_DIR)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(SerialOpenBLAS REQUIRED_VARS SerialOpenBLAS_LIBRARY SerialOpenBLAS_INCLUDE_DIR)
if(SerialOpenBLAS_FOUND AND NOT TARGET SerialOpenBLAS::SerialOpenBLAS)
  add_library(SerialOpenBLAS::SerialOpenBLAS UNKNOWN IMPORTED)
  set_target_properties(SerialOpenBLAS::SerialOpenBLAS PROPERTIES
                        IMPORTED_LOCATION ${SerialOpenBLAS_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${SerialOpenBLAS_INCLUDE_DIR})
endif()
