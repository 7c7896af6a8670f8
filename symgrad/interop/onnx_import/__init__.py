"""ONNX models as graphs: one small table of operators for each family."""
