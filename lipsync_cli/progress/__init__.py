"""Shows the progress of local jobs, service jobs, batches and downloads on standard error."""
