"""From results to figures: data frames, constant specifications, the theme and the topics of the pages."""
