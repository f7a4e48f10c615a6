"""What an admin port serves, and which requests it refuses."""
