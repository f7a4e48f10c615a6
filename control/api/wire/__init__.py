"""What requests and answers of the API look like: bodies, pages, problems, representations."""
