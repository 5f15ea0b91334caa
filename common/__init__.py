"""What both sample clients share and no reader came to learn."""
