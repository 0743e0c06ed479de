// "Pruning is all you need", shown: random networks of which nothing is trained, only pruned, and what they become.
//
//   strong_tickets --epochs 6
//
// (a) trains a small network and finds it, but for an error, inside random networks of growing width n. The error falls
//     exponentially if a subset of n candidates stands for each weight, at best like 1/n if a single one does.
// (b) asks what *neurons* one can keep of a random network of as many weights. They only match random features, and
//     those miss even a single ReLU neuron. With one more layer they come nearer, but slowly.
//
// Reads MNIST from $ESPALIER_DATA or ./data; without it, generated digits. pruning/strong_ticket.h has the
// construction.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "apps/tool/command_line_error.h"
#include "apps/tool/commands.h"
#include "apps/tool/flag_checks.h"
#include "apps/tool/sample.h"
#include "espalier/core/error.h"
#include "espalier/experiment/plot.h"
#include "espalier/experiment/run_folder.h"
#include "espalier/layers/linear.h"
#include "espalier/pruning/strong_ticket.h"
#include "espalier/pruning/subset_sum.h"

using namespace espalier;

namespace {

constexpr const char *green = "#2e7d4f", *orange = "#c2600a", *blue = "#30638e", *grey = "#7b8794";
constexpr const char* y_label = "error of the outputs (RMS, relative)";

struct Lab {
  std::vector<int> widths{2, 4, 6, 8, 12, 16, 20, 24};
  int networks = 5;                        // random ones, of which the median is reported
  Index inputs = 32, teacher_neurons = 4;  // of (b)
};

// What was found of a target in one random network.
struct Found {
  Index random_weights = 0, kept = 0;
  double worst_error = 0;  // |sum - w|
  Agreement outputs;
  double error() const { return outputs.rms_error / outputs.target_rms; }
};

// Of several random networks the one with the median error of the outputs.
Found find(const Module& target, const Loader& data, int networks, StrongTicketOptions options) {
  std::vector<Found> found;
  for (int i = 0; i < networks; ++i, ++options.seed) {
    const StrongTicket ticket = strong_ticket(target, options);
    found.push_back(
        {ticket.random_weights(), ticket.kept(), ticket.worst_error(), agreement_of(target, *ticket.net, data)});
  }
  std::ranges::sort(found, {}, &Found::error);
  return found[found.size() / 2];
}

// --- (a) a trained network inside random ones ------------------------------------------------------------------------

Panel find_in_random_networks(const Module& target, const Loader& test, const Lab& lab, std::uint64_t seed) {
  const Census census = census_of(target);
  Panel panel{.title = "A trained network inside a random one",
              .subtitle = fmt::format("{}, {} of {} weights live", target.name(), census.live, census.positions),
              .x_label = "n, random candidates for each weight",
              .y_label = y_label};
  panel.curves = {{"each weight the sum of a subset of n products", green}, {"each weight one of n products", orange}};
  fmt::print("(a) {}, {} biases\n\n", panel.subtitle, census.unprunable);
  fmt::print("             n  random weights     kept  worst |sum - w|  output error  same class  test accuracy\n");
  double target_accuracy = 0;
  for (const Match match : {Match::subset, Match::single})
    for (const int width : lab.widths) {
      const Found found = find(target, test, lab.networks, {.width = width, .match = match, .seed = seed});
      Curve& curve = panel.curves[match == Match::single];
      curve.x.push_back(width);
      curve.y.push_back(found.error());
      fmt::print("  {:<9}{:3}  {:14}  {:7}  {:15.2e}  {:12.2e}  {:8.2f} %  {:11.2f} %\n",
                 match == Match::subset ? "subset" : "single", width, found.random_weights, found.kept,
                 found.worst_error, found.error(), 100 * found.outputs.same_class, 100 * found.outputs.ticket_accuracy);
      target_accuracy = found.outputs.target_accuracy;
    }
  fmt::print("  {:<81}{:11.2f} %\n", "the target itself", 100 * target_accuracy);
  return panel;
}

// --- (b) neurons or weights? -----------------------------------------------------------------------------------------

// x ~ N(0, I): functions of these have inner products in closed form, and need no samples.
class GaussianInputs final : public Dataset {
 public:
  GaussianInputs(Index inputs, Index samples, std::uint64_t seed) : inputs_(inputs), samples_(samples), seed_(seed) {}
  std::string name() const override { return "Gaussian inputs"; }
  Index samples() const override { return samples_; }
  Shape shape() const override { return {inputs_}; }
  Index classes() const override { return 1; }
  std::int32_t label(Index) const override { return 0; }
  void read(Index i, std::span<Real> features) const override {
    const Random random(seed_, "gaussian-inputs", 0, static_cast<std::uint64_t>(i));
    for (std::size_t f = 0; f < features.size(); ++f) features[f] = static_cast<Real>(random.normal(f));
  }

 private:
  Index inputs_, samples_;
  std::uint64_t seed_;
};

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;

double dot(const Vector& u, const Vector& v) {
  return std::inner_product(u.begin(), u.end(), v.begin(), 0.0);
}

// E relu(u x) relu(v x) = |u| |v| (sin t + (pi - t) cos t) / 2 pi, t the angle between u and v (Cho & Saul 2009).
double relu_product(const Vector& u, const Vector& v) {
  const double lengths = std::sqrt(dot(u, u) * dot(v, v)), cosine = std::clamp(dot(u, v) / lengths, -1.0, 1.0);
  return lengths * (std::sqrt(1 - cosine * cosine) + (std::numbers::pi - std::acos(cosine)) * cosine) /
         (2 * std::numbers::pi);
}

// Approximating f by sum_r beta_r phi_r: everything there is to know are G_rq = E phi_r phi_q, c_r = E f phi_r, E f^2.
struct Features {
  Matrix G;  // lower triangle, row r has r + 1 numbers
  Vector c;
  double square = 0;
};

// E (f - best readout of the first k features)^2 for k = 0, 1, 2 ...: with G = L L' and L y = c it is E f^2 - |y|^2
// over the first k of y. One Cholesky factorisation serves all k.
Vector readout_errors(const Features& features) {
  Matrix L;
  Vector y, errors{features.square};
  for (std::size_t r = 0; r < features.c.size(); ++r) {
    Vector& row = L.emplace_back();
    const auto reduced = [&](double value, const Vector& by) {
      return value - std::inner_product(row.begin(), row.end(), by.begin(), 0.0);
    };
    for (std::size_t q = 0; q < r; ++q) row.push_back(reduced(features.G[r][q], L[q]) / L[q][q]);
    // What the earlier features do not explain of this one; next to nothing is rounding, and then it adds nothing.
    const double left = reduced(features.G[r][r], row);
    const double length = left > 1e-12 * features.G[r][r] ? std::sqrt(left) : std::numeric_limits<double>::infinity();
    y.push_back(reduced(features.c[r], y) / length);
    row.push_back(length);
    errors.push_back(std::max(errors.back() - y.back() * y.back(), 0.0));
  }
  return errors;
}

// E (f - sum over kept r of v_r phi_r)^2 for the best set of the first k neurons that flipping one at a time leads to,
// the steepest first; v_r is random and stays. Its scale is not: the best of ten is taken.
double neuron_subnetwork_error(const Features& features, std::size_t k, std::uint64_t seed) {
  const Random random(seed, "readout");
  double best = features.square;
  for (int halvings = 0; halvings < 10; ++halvings) {
    Vector v(k), pull(k, 0);  // pull_r = E phi_r sum over kept q of v_q phi_q
    for (std::size_t r = 0; r < k; ++r) v[r] = std::ldexp(2 * random.uniform(r) - 1, -halvings);
    std::vector<bool> kept(k, false);
    double error = features.square;
    for (;;) {
      std::size_t steepest = k;
      double gain = -1e-12;
      for (std::size_t r = 0; r < k; ++r) {
        const double way = kept[r] ? -1 : 1;
        const double change = v[r] * (2 * way * (pull[r] - features.c[r]) + v[r] * features.G[r][r]);
        if (change < gain) gain = change, steepest = r;
      }
      if (steepest == k) break;
      const double change = kept[steepest] ? -v[steepest] : v[steepest];
      for (std::size_t r = 0; r < k; ++r) pull[r] += change * features.G[std::max(r, steepest)][std::min(r, steepest)];
      kept[steepest] = !kept[steepest];
      error += gain;
    }
    best = std::min(best, error);
  }
  return std::max(best, 0.0);  // but for rounding
}

// A teacher f = sum_j v_j relu(w_j x) of `neurons` neurons, |w_j| = 1, E f^2 about 1/2, as a module.
ModulePtr make_teacher(Index inputs, Index neurons, std::uint64_t seed) {
  auto teacher = std::make_unique<Sequential>("teacher");
  teacher->add<Linear>(
      LinearOptions{.name = "hidden", .in = inputs, .out = neurons, .activation = Activation::relu, .bias = false},
      seed);
  teacher->add<Linear>(LinearOptions{.name = "output", .in = neurons, .out = 1, .bias = false}, seed);
  const auto parameters = parameters_of(*teacher);
  const auto W = parameters[0]->value(), v = parameters[1]->value();
  for (Index j = 0; j < neurons; ++j) {
    const auto w = W.subspan(j * inputs, inputs);
    const Real length = std::sqrt(std::inner_product(w.begin(), w.end(), w.begin(), Real{0}));
    for (Real& value : w) value /= length;
    v[j] = static_cast<Real>((j % 2 ? -1 : 1) / std::sqrt(static_cast<double>(neurons)));
  }
  return teacher;
}

Panel neurons_or_weights(Index teacher_neurons, const Lab& lab, std::uint64_t seed) {
  const Index inputs = lab.inputs;
  const bool one = teacher_neurons == 1;
  const ModulePtr teacher = make_teacher(inputs, teacher_neurons, seed);
  Panel panel{
      .title = "Weights or neurons of a random network",
      .subtitle = fmt::format("target: {} of {} inputs",
                              one ? "one ReLU neuron" : fmt::format("{} ReLU neurons", teacher_neurons), inputs),
      .x_label = "random weights, before pruning",
      .y_label = y_label};
  panel.curves = {{"weights kept or removed", green},
                  {"neurons kept or removed", orange},
                  {"best readout of all neurons: a bound for them", blue, {}, {}, true}};
  if (one) panel.curves.push_back({"neurons kept or removed, a ReLU behind them", grey});

  // The weight-subnetworks come first: they say how many weights the others may have.
  const Loader gaussian(std::make_shared<GaussianInputs>(inputs, 8192, seed),
                        {.batch = 1024, .lanes = 64, .shuffle = false});
  for (const int width : lab.widths) {
    const Found found = find(*teacher, gaussian, lab.networks, {.width = width, .seed = seed});
    for (Curve& curve : panel.curves) curve.x.push_back(static_cast<double>(found.random_weights));
    panel.curves[0].y.push_back(found.error());
  }
  const auto neurons_for = [&](double weights) {
    return static_cast<std::size_t>(weights) / static_cast<std::size_t>(inputs + 1);
  };

  // k random neurons phi_r = relu(u_r x), u_r ~ U[-1, 1]^inputs, and a readout: k (inputs + 1) weights.
  Matrix w, u;
  const auto parameters = parameters_of(*teacher);
  const auto W = std::as_const(*parameters[0]).value(), v = std::as_const(*parameters[1]).value();
  for (Index j = 0; j < teacher_neurons; ++j) w.emplace_back(W.begin() + j * inputs, W.begin() + (j + 1) * inputs);
  for (std::size_t r = 0; r < neurons_for(*std::ranges::max_element(panel.curves[0].x)); ++r) {
    const Random random(seed, "random-features", 0, r);
    Vector& row = u.emplace_back();
    for (Index i = 0; i < inputs; ++i) row.push_back(2 * random.uniform(static_cast<std::uint64_t>(i)) - 1);
  }
  // The target f = sum_j v_j relu(w_j x). And `linear`, what a single neuron's ReLU is applied to: neurons of a network
  // with one more layer need only match that. Their error is measured before that ReLU.   E (w x) relu(u x) = (w u) / 2
  Features f{.G = Matrix(u.size()), .c = Vector(u.size(), 0)}, linear{.c = Vector(u.size()), .square = dot(w[0], w[0])};
  for (std::size_t r = 0; r < u.size(); ++r) {
    for (std::size_t q = 0; q <= r; ++q) f.G[r].push_back(relu_product(u[r], u[q]));
    for (std::size_t j = 0; j < w.size(); ++j) f.c[r] += static_cast<double>(v[j]) * relu_product(u[r], w[j]);
    linear.c[r] = dot(w[0], u[r]) / 2;
  }
  for (std::size_t j = 0; j < w.size(); ++j)
    for (std::size_t i = 0; i < w.size(); ++i)
      f.square += static_cast<double>(v[i]) * static_cast<double>(v[j]) * relu_product(w[i], w[j]);
  linear.G = f.G;
  const Vector readout = readout_errors(f);

  fmt::print("\n(b) {}: error of the outputs, RMS, relative\n\n", panel.subtitle);
  fmt::print("    n  random weights  weights kept |  k neurons  neurons kept  best readout{}\n",
             one ? "  neurons, ReLU behind" : "");
  for (std::size_t p = 0; p < lab.widths.size(); ++p) {
    const double weights = panel.curves[0].x[p];
    const std::size_t k = neurons_for(weights);
    panel.curves[1].y.push_back(std::sqrt(neuron_subnetwork_error(f, k, seed) / f.square));
    panel.curves[2].y.push_back(std::sqrt(readout[k] / f.square));
    if (one) panel.curves[3].y.push_back(std::sqrt(neuron_subnetwork_error(linear, k, seed) / linear.square));
    fmt::print("  {:3}  {:14}  {:12.2e} |  {:9}  {:12.2e}  {:12.2e}", lab.widths[p], weights, panel.curves[0].y[p], k,
               panel.curves[1].y[p], panel.curves[2].y[p]);
    fmt::print("{}\n", one ? fmt::format("  {:20.2e}", panel.curves[3].y[p]) : "");
  }
  return panel;
}

// --- both ---------------------------------------------------------------------------------------------------------

int run(int argc, char** argv) {
  RunConfig config;
  config.model = "mlp:784-32-10";
  config.epochs = 6;
  config.schedule.density = 0.15;
  Lab lab;
  RunPlace place;
  CLI::App app("Find a trained network inside random ones, by pruning alone; and see what keeping neurons cannot do.");
  app.add_option("--widths", lab.widths, "Random candidates for each target weight, 1 to 32")
      ->delimiter(',')
      ->default_str("2,4,6,8,12,16,20,24");
  app.add_option("--networks", lab.networks, "Random networks, of which the median is reported")->capture_default_str();
  app.add_option("--density", config.schedule.density, "Fraction of the target's weights kept")->capture_default_str();
  app.add_option("--epochs", config.epochs, "Epochs of the target's training")->capture_default_str();
  app.add_option("--inputs", lab.inputs, "Inputs of the ReLU neuron of (b)")->capture_default_str();
  app.add_option("--teacher", lab.teacher_neurons, "Neurons of (b)'s other target")->capture_default_str();
  app.add_option("--seed", config.seed, "Of the training and of the random networks")
      ->check(counted())
      ->capture_default_str();
  app.add_option("--data-dir", config.data_dir, "Where MNIST's files are (else $ESPALIER_DATA, else ./data)");
  add_out_flags(app, place, "runs/strong_tickets");
  app.footer("Exit codes: 0 done, 1 internal error, 2 wrong usage, 3 bad, missing or unwritable file, 4 interrupted.");
  if (const std::optional<int> code = parse(app, argc, argv)) return *code;
  config = settled(config);
  for (const int width : lab.widths)
    require(width >= 1 && width <= subset_sum_limit, "[--widths] expected numbers from 1 to {}, got {}",
            subset_sum_limit, width);
  require(lab.networks >= 1 && lab.networks <= 99, "[--networks] expected 1 to 99, got {}", lab.networks);
  require(lab.inputs >= 2 && lab.inputs <= 64, "[--inputs] expected 2 to 64, got {}", lab.inputs);
  require(lab.teacher_neurons >= 1 && lab.teacher_neurons <= 16, "[--teacher] expected 1 to 16, got {}",
          lab.teacher_neurons);
  const DataParts data = load_data(config);
  const RunFolder folder = new_run(place);
  folder.write("config.toml", to_toml(config));
  MetricsLog log(folder, config.epochs);

  const Trained target = train_side(config, data, Side::sparse, log.observer(Side::sparse));
  const Loader test(data.test, {.batch = 1024, .lanes = config.lanes, .shuffle = false});
  fmt::print("{}\n\n", data.provenance);
  std::vector<Panel> panels;
  panels.push_back(find_in_random_networks(*target.model, test, lab, config.seed));
  panels.push_back(neurons_or_weights(1, lab, config.seed));
  neurons_or_weights(lab.teacher_neurons, lab, config.seed);
  folder.write("plots.svg", svg_of(panels));
  fmt::print("\nplots: {}\n", (folder.path() / "plots.svg").string());
  return exit_done;
}

}  // namespace

int main(int argc, char** argv) {
  return run_guarded([&] { return run(argc, argv); });
}
