# ONNX::ONNX: the messages of ONNX's files, and protobuf, which encodes them. Debian's own ONNXConfig.cmake stops where any of
# its libraries is missing, and there are five of which nothing is needed here.
find_path(ONNX_INCLUDE_DIR NAMES onnx/onnx_pb.h)
find_path(ONNX_PROTOBUF_INCLUDE_DIR NAMES google/protobuf/message.h)
find_library(ONNX_LIBRARY NAMES onnx_proto)
find_library(ONNX_PROTOBUF_LIBRARY NAMES protobuf)
mark_as_advanced(ONNX_INCLUDE_DIR ONNX_PROTOBUF_INCLUDE_DIR ONNX_LIBRARY ONNX_PROTOBUF_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ONNX REQUIRED_VARS ONNX_LIBRARY ONNX_PROTOBUF_LIBRARY ONNX_INCLUDE_DIR
                                                     ONNX_PROTOBUF_INCLUDE_DIR)
if(ONNX_FOUND AND NOT TARGET ONNX::ONNX)
  add_library(ONNX::ONNX UNKNOWN IMPORTED)
  set_target_properties(ONNX::ONNX PROPERTIES
                        IMPORTED_LOCATION ${ONNX_LIBRARY}
                        INTERFACE_LINK_LIBRARIES ${ONNX_PROTOBUF_LIBRARY}
                        INTERFACE_COMPILE_DEFINITIONS "ONNX_NAMESPACE=onnx;ONNX_ML=1"
                        INTERFACE_INCLUDE_DIRECTORIES "${ONNX_INCLUDE_DIR};${ONNX_PROTOBUF_INCLUDE_DIR}")
endif()
