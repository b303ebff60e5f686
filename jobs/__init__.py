"""Watch folders and the job table."""
