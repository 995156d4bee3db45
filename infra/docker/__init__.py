"""What runs inside the containers: the worker, the one-shot preparation, and the check of the GPU image's build."""
