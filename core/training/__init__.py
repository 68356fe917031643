"""Training: the step, the loop around it, and how a run starts, resumes and stops."""
