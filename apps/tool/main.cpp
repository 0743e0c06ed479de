// espalier: train, prune and measure sparse networks on the processor.
#include "apps/bench/ruler.h"
#include "apps/tool/commands.h"

int main(int argc, char** argv) {
  espalier::allow_restart(argv);
  return espalier::run_tool(argc, argv);
}
