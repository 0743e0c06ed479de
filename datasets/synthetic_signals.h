// Signals drawn by a program: three sensors that listen to one source, for trying models of sequences where no data is
// at hand. They are not measurements, and an accuracy reached on them says nothing about any instrument.
//
// The class is what the source does:
//
//   sine, square, sawtooth        steady waves of one frequency
//   rising, falling               chirps: the frequency triples, or falls to a third, on the way
//   modulated                     a sine that swells and fades, two to four times
//   burst                         a sine that lasts for a quarter of the time
//   pulses                        short bumps in even intervals
//
// Each sensor hears it with a gain, sign and delay of its own, and adds an offset, a drift and noise. Frequency, phase
// and all of those are random and the same in all classes, so that no step by itself says anything about the class: a
// linear model finds little, while one that slides along the signal, or remembers it, can tell the shapes apart.
#pragma once

#include <cstdint>

#include "espalier/core/threads.h"
#include "espalier/datasets/parts.h"

namespace espalier {

// Sets of shape [64, 3], time in front, with 8 classes and numbers in [0, 1], a byte each as from a converter. Sample
// i of a part is a pure function of (seed, part, i): the same bits for any number of threads, and more samples only
// append. Throws UsageError unless both counts are positive.
DataParts synthetic_signals(Index train_samples = 12000, Index test_samples = 2000, std::uint64_t seed = 1,
                            int threads = default_threads());

}  // namespace espalier
