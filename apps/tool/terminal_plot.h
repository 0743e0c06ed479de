// Pictures made of letters, for terminals of any kind: curves, histograms, grids.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace espalier {

struct Series {
  std::string name;
  char mark = '*';  // '#' stands where two series meet
  std::vector<double> x, y;
};

// Curves over a common x axis, 64 columns wide; numbers that are not finite are left out. Empty without any number.
std::string curves_text(const std::string& title, std::span<const Series> series, const std::string& x_label);

// How many of the values lie in each of 16 equal intervals from the least to the greatest, as bars.
std::string histogram_text(std::span<const double> values);

// A grid of numbers from 0 to `most`, row-major, as a letter each, from ' ' for 0 to '@'. Larger grids than
// `most_rows` x `most_cols` are divided into cells, which show their mean.
std::string grid_text(std::span<const double> values, std::size_t rows, std::size_t cols, double most,
                      std::size_t most_rows = 32, std::size_t most_cols = 64);

}  // namespace espalier
