// Ctrl-C and the like: a training that is asked to stop saves where it is and ends with InterruptedError.
#pragma once

#include "espalier/core/real.h"

namespace espalier {

// Asked between steps. True after SIGINT, SIGTERM or SIGHUP, if watch_for_interrupt was called.
bool interrupted();
// The first signal asks to stop, the second ends the program at once. A terminal that closes sends SIGHUP; where that
// is ignored (nohup) it stays so.
void watch_for_interrupt();
// In a process that another one has made, and asks to stop by SIGTERM: as often as it likes, and what the terminal
// sends to all processes is that one's business.
void stop_when_asked_by_parent();
// For tests: as if a signal came after this many more questions; below 0: never.
void interrupt_after(Index steps);

}  // namespace espalier
