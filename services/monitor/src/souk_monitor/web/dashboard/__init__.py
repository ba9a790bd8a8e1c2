"""The dashboard: pages of issues, projects and reports that work without scripts, and are kept up to date with them."""
