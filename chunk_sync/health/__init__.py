"""PANDAS: frame in, frame out, and charts. Reads nothing by itself."""
