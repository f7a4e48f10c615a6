"""How requests and answers of the API look: bodies, pages, problems, representations."""
