"""Signed callbacks to the callers of jobs, in the form of Standard Webhooks."""
