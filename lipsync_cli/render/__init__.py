"""Reports and tables as text, Markdown, HTML and JSON."""
