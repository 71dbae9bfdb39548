"""What is known of an event before it happens: of its film from others, of its user so far."""
