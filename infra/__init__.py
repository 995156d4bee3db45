"""The environments that the service runs in: Compose, Kubernetes, images and the local stack."""
