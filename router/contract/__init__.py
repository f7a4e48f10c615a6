"""What a router is told (tables, settings, host names), and the answers it makes itself."""
