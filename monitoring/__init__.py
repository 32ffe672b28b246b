"""Is it still right: what inputs and outputs look like, now and when the model was pressed."""
