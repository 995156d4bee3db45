"""SyncNet's published measure of lip sync, LSE-C and LSE-D, where the user has its weights."""
