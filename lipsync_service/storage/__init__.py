"""Files by address: S3, web servers and folders, with a cache of downloads on each host."""
