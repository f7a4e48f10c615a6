"""What is served at an admin port, and to whom."""
