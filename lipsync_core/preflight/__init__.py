"""The preflight: looks at the inputs of a job before the work, and warns of what would spoil the result."""
