"""Progress on standard error: of local jobs, service jobs, batches and downloads."""
