"""What computing health costs behind ten million attempts."""
