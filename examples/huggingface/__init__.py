"""MiniLM from its Hugging Face folder."""
