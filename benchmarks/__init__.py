"""Benchmarks by question: accuracy, cost, overhead, catalogues; `worlds` and `tools` serve them."""
