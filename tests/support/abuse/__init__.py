"""A kit for abuse: well-behaved clients that notice everything, and peers that behave badly."""
