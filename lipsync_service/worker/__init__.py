"""What makes a worker start runs quickly."""
