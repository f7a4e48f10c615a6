"""One request on its way: attempts, retries, tunnels, the answer, the log line."""
