"""Training against the original's outputs; needs torch (the extra ``train``), which nothing else imports."""
