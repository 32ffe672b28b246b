"""The bodies that clients already speak: each module maps HTTP to tensors and back, and nothing else."""
