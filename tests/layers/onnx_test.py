"""What is exported as ONNX is valid, and computes what our layers compute: every layer of the contract's table and every family
of models, dense and pruned, with dense and with sparse initialisers. Two programs run the files: the evaluator beside this script
and, where it is installed, ONNX Runtime (tests/onnx_runtime.sh installs it). Skipped (77) without onnx and numpy.

    onnx_test.py WRITER [--require-runtime]      WRITER: the program espalier_write_onnx"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(77)

import onnx_reference

try:
    import onnxruntime
except ImportError:
    onnxruntime = None
    print("ONNX Runtime is not installed: not compared with it")

tolerance = 1e-5  # of the largest output


def extents(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def check_form(model, name, live):
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)], model.opset_import
    (source,), (sink,) = model.graph.input, model.graph.output
    assert (source.name, sink.name) == ("input", "output")
    assert extents(source)[0] == extents(sink)[0] == "batch"
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata['note/"quoted"'] == "ü\n" and metadata["dataset"] == "noise" and metadata["seed"] == "7", metadata
    assert name.startswith("layer.") or metadata["model"] in name, metadata
    sparse = [node.attribute[0].sparse_tensor for node in model.graph.node if node.op_type == "Constant"]
    kept = sum(tensor.values.dims[0] for tensor in sparse)
    assert kept == (live if name.endswith(".sparse") else 0), f"{kept} of {live} live weights are sparse"
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    assert extents(inferred.graph.output[0]) == extents(sink)


def run_by_runtime(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def difference(found, expected):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def main():
    runners = {"reference": onnx_reference.run} | ({"ONNX Runtime": run_by_runtime} if onnxruntime else {})
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.argv[1], folder], capture_output=True, text=True)
        if "built with ONNX" in done.stderr:
            print(f"SKIPPED: {done.stderr}")
            sys.exit(77)
        assert done.returncode == 0, done.stderr
        print(f"{'largest difference, of the largest output':60}", *(f"{runner:>12}" for runner in runners))
        for line in done.stdout.splitlines():
            name, live = line.split()
            file = lambda ending: pathlib.Path(folder, f"{name}.{ending}")
            model = onnx.load(file("onnx"))
            check_form(model, name, int(live))
            whole = model.graph.input[0].type.tensor_type.elem_type == TensorProto.INT64
            x = np.fromfile(file("input.f32"), "f4").reshape([-1] + extents(model.graph.input[0])[1:])
            y = np.fromfile(file("output.f32"), "f4").reshape([-1] + extents(model.graph.output[0])[1:])
            found = {runner: difference(run(model, x.astype("i8") if whole else x), y) for runner, run in runners.items()}
            print(f"{name:60}", *(f"{d:12.1e}" for d in found.values()), flush=True)
            failed += [(name, runner, d) for runner, d in found.items() if not d <= tolerance]
    assert not failed, failed


if "--require-runtime" in sys.argv and onnxruntime is None:
    print("SKIPPED: no ONNX Runtime")
    sys.exit(77)
main()
