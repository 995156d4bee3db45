"""One-time set-up of a service: schema, bucket, work pools, deployments."""
