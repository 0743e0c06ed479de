// Convolutional models. They were made for images of one extent, and take others.
#include "espalier/layers/builder.h"
#include "espalier/layers/zoo/zoo.h"

namespace espalier::zoo {
namespace {

// LeNet-5 in the 20-50-500-10 variant that pruning papers use: no activation after the convolutions.
ModulePtr lenet_5(const std::string& name, const ModelOptions& options) {
  constexpr Window five_by_five{.kernel_height = 5, .kernel_width = 5};
  return Builder(name, options)
      .conv("conv1", 20, five_by_five, Activation::none, /*max_pool=*/true)
      .conv("conv2", 50, five_by_five, Activation::none, /*max_pool=*/true)
      .linear("fc1", 500, Activation::relu)
      .linear("output", options.outputs)
      .done();
}

// Frankle & Carbin 2019, figure 2: pairs of 3 x 3 convolutions of 64, 128, 256 channels, a 2 x 2 maximum after each
// pair, two hidden layers of 256.
template <int convolutions>
ModulePtr conv_n(const std::string& name, const ModelOptions& options) {
  Builder model(name, options);
  Index channels = 64;
  for (int i = 1; i <= convolutions; ++i) {
    const bool second = i % 2 == 0;
    model.conv(fmt::format("conv{}", i), channels, Builder::three_by_three, Activation::relu, /*max_pool=*/second);
    if (second) channels *= 2;
  }
  return model.linear("fc1", 256, Activation::relu)
      .linear("fc2", 256, Activation::relu)
      .linear("output", options.outputs)
      .done();
}

// He et al. 2016, section 4.2, n = 3: 16, 32, 64 channels, three blocks each. Where the shape changes the shortcut is a
// projection (their option B).
ModulePtr resnet_20(const std::string& name, const ModelOptions& options) {
  Builder model(name, options);
  model.normalised_conv("conv1", 16, Builder::three_by_three, Activation::relu);
  for (const int stage : {1, 2, 3})
    for (const int block : {1, 2, 3})
      model.residual_block(fmt::format("stage{}.block{}", stage, block), Index{8} << stage,
                           stage > 1 && block == 1 ? 2 : 1);
  return model.global_average_pool().linear("output", options.outputs).done();
}

// The VGG-like net of Courbariaux et al. 2015 with one linear layer: 2 x 128, 2 x 256, 2 x 512 channels, batch
// normalisation, a 2 x 2 maximum after each pair.
ModulePtr vgg_small(const std::string& name, const ModelOptions& options) {
  Builder model(name, options);
  for (const int pair : {1, 2, 3}) {
    for (const int i : {2 * pair - 1, 2 * pair})
      model.normalised_conv(fmt::format("conv{}", i), Index{64} << pair, Builder::three_by_three, Activation::relu);
    model.max_pool(fmt::format("pool{}", pair));
  }
  return model.linear("output", options.outputs).done();
}

// made_for: [C, H, W]
ModelFamily family(const std::string& name, const std::string& line, const Shape& made_for, double rate, double warmup,
                   ModulePtr (*make)(const std::string&, const ModelOptions&)) {
  const ModelProfile profile{.input = made_for, .images = true, .lanes = 16, .rate = rate, .warmup = warmup};
  return {.name = name,
          .form = name,
          .line = line,
          .profile = [profile](const std::string&) { return profile; },
          .make = make};
}

}  // namespace

std::vector<ModelFamily> image_models() {
  const Shape grey{1, 28, 28}, colour{3, 32, 32};
  return {
      family("lenet-5", "two 5 x 5 convolutions, 500-10 (LeCun et al. 1998)", grey, 0.05, 0.05, lenet_5),
      family("conv-2", "two 3 x 3 convolutions, 256-256-10 (Frankle & Carbin 2019)", colour, 0.01, 0.1, conv_n<2>),
      family("conv-4", "the same with four convolutions", colour, 0.01, 0.1, conv_n<4>),
      family("conv-6", "the same with six convolutions", colour, 0.01, 0.1, conv_n<6>),
      family("resnet-20", "nine residual blocks of 3 x 3 convolutions (He et al. 2016)", colour, 0.05, 0.05, resnet_20),
      family("vgg-small", "six 3 x 3 convolutions (Courbariaux et al. 2015)", colour, 0.05, 0.05, vgg_small)};
}

}  // namespace espalier::zoo
