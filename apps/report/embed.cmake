# cmake -DOUTPUT=FILE -DCHARTS=FILE -DLICENCE=FILE -P embed.cmake: writes a source file that holds the page, and the library
# that draws its charts with its licence; CHARTS may be empty: then the page has tables alone.
set(page_html page.html)
set(page_css page.css)
set(page_js base.js run.js masks.js comparison.js page.js)  # one script, in this order
list(TRANSFORM page_html PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM page_css PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM page_js PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
set(charts "${CHARTS}")
set(charts_licence "${LICENCE}")
set(embedded "")
foreach(name page_html page_css page_js charts charts_licence)
  string(APPEND embedded "extern const char* const embedded_${name};\nconst char* const embedded_${name} =\n")
  foreach(file ${${name}})
    file(READ ${file} text)
    string(APPEND embedded "R\"espalier(${text})espalier\"\n")
  endforeach()
  string(APPEND embedded "\"\";\n")
endforeach()
# The standard asks of a compiler no more than 65,536 bytes of a literal; g++ and clang take any number.
file(WRITE ${OUTPUT} "#pragma GCC diagnostic ignored \"-Woverlength-strings\"\nnamespace espalier {\n${embedded}}  // namespace espalier\n")
