// A picture in a file: PGM, PPM (P2, P3, P5, P6) or PNG.
//
// Memory is asked for only when the file could fill it: a PNG has to have the size that is wanted.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "espalier/core/real.h"

namespace espalier {

struct Picture {
  Index channels = 1, height = 0, width = 0;  // channels: 1, gray, or 3
  std::vector<Real> values;                   // [height, width, channels], in [0, 1]
};

// Whether this library was built with libpng.
bool reads_png();

// Whether a file that begins like this is one of these pictures.
bool begins_picture(const std::string& bytes);

// The picture in these bytes of a file, which has to be of this size. Throws FileError for anything else.
Picture picture_in(const std::string& bytes, const std::filesystem::path& file, Index height, Index width);

// The picture with 1 or 3 channels: colours that are all gray become gray, gray becomes colours. Throws FileError for
// others.
Picture with_channels(Picture picture, Index channels, const std::filesystem::path& file);

}  // namespace espalier
