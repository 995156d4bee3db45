"""Networks that a model server (NVIDIA Triton) holds for all runs of a node: the client, and the server's folder."""
