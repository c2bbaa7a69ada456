"""Functions of the user's own: files, frameworks, boosting objectives, programs."""
