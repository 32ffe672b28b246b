"""PP-OCRv4 text recognition, from file to answered request: `make demo`."""
