"""What `make setup` runs, and what takes single files out of packages."""
