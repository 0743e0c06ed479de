// The functions that a layer may apply to its result.
#pragma once

namespace espalier {

// Those whose derivative can be read off their output: backward then needs Y alone, not what it was computed from.
enum class Activation { none, relu, tanh, sigmoid };

}  // namespace espalier
