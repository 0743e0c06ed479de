# cmake -DOUTPUT=FILE -P embed.cmake: writes a source file that holds every *.toml of this folder, but for the experiments
# that justify them.
file(GLOB recipes ${CMAKE_CURRENT_LIST_DIR}/*.toml)
set(embedded "")
foreach(recipe ${recipes})
  get_filename_component(name ${recipe} NAME)
  file(READ ${recipe} text)
  if(NOT text MATCHES "\\[\\[experiment\\]\\]")
    string(APPEND embedded "    {\"${name}\", R\"recipe(${text})recipe\"},\n")
  endif()
endforeach()
file(WRITE ${OUTPUT} "#include <cstddef>
namespace espalier {
struct EmbeddedFile {
  const char *file, *text;
};
extern const EmbeddedFile embedded_recipes[] = {
${embedded}};
extern const std::size_t embedded_recipe_count = sizeof embedded_recipes / sizeof *embedded_recipes;
}  // namespace espalier
")
