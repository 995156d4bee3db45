"""The client side of the service: requests, jobs, manifests, and Prefect's REST API below them."""
