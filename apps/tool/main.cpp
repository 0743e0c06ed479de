// espalier: train, prune and measure sparse networks on the processor.
#include "apps/tool/commands.h"

int main(int argc, char** argv) {
  return espalier::run_tool(argc, argv);
}
