"""The status page: a small server beside the daemon that shows the job table, and acts on it where that was allowed."""
