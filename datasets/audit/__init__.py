"""What is wrong with a data set: read, counted, judged, shown; `python -m datasets.audit PATH`."""
