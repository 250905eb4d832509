"""Small ONNX graphs, written as files: the mean power of the sound, and the number of words, times a weight a class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


def write_graph(
    path: Path,
    sound: Shape | None = ("batch", "frame"),
    words: Shape | None = None,
    metadata: dict[str, str] | None = None,
    weights: Sequence[float] = (1.0, -2.0, 0.5),
    rows: int | str = "batch",
    extra: Sequence[onnx.ValueInfoProto] = (),
    outputs: Sequence[str] = (),
    baked: int | None = None,
    last: str | None = None,
) -> Path:
    """A graph of one output "scores" of shape (rows, class), or of an output a class with the names `outputs`.

    `last` is a node that makes the scores of what comes before. `baked` is a number of rows that the graph is made for
    inside, whatever its inputs say.
    """
    inputs, nodes, parts = [], [], []
    tables = [numpy_helper.from_array(np.array([weights], np.float32), "weights")]
    if sound is not None:
        inputs.append(helper.make_tensor_value_info("wave", TensorProto.FLOAT, sound))
        axes = np.arange(1 if len(sound) > 1 else 0, len(sound))
        tables.append(numpy_helper.from_array(axes.astype(np.int64), "axes"))
        nodes.append(helper.make_node("ReduceSumSquare", ["wave", "axes"], ["power"], keepdims=0))
        parts.append("power")
    if words is not None:
        inputs.append(helper.make_tensor_value_info("text", TensorProto.STRING, words))
        nodes.append(helper.make_node("StringSplit", ["text"], ["split", "counts"]))
        nodes.append(helper.make_node("Cast", ["counts"], ["count"], to=TensorProto.FLOAT))
        parts.append("count")
    nodes.append(helper.make_node("Sum", parts, ["sum"]))
    column = np.array([-1 if baked is None else baked, 1], np.int64)
    tables.append(numpy_helper.from_array(column, "column" if baked is None else "rows"))
    if baked is not None:
        # From the input's shape, times zero: onnxruntime doesn't see the number of rows before it runs.
        tables.append(numpy_helper.from_array(np.zeros(2, np.int64), "nothing"))
        nodes.append(helper.make_node("Shape", ["wave"], ["shape"]))
        nodes.append(helper.make_node("Mul", ["shape", "nothing"], ["none"]))
        nodes.append(helper.make_node("Add", ["none", "rows"], ["column"]))
    nodes.append(helper.make_node("Reshape", ["sum", "column"], ["feature"]))
    nodes.append(helper.make_node("MatMul", ["feature", "weights"], ["scores" if last is None else "before"]))
    if last is not None:
        nodes.append(helper.make_node(last, ["before"], ["scores"]))
    results = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [rows, len(weights)])]
    if outputs:
        nodes.append(helper.make_node("Split", ["scores"], list(outputs), axis=1, num_outputs=len(outputs)))
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 1]) for name in outputs]
    graph = helper.make_graph(nodes, "judge", [*inputs, *extra], results, tables)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path
