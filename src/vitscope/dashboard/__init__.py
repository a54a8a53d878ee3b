"""The dashboard: what a workspace holds, served to a browser. Nothing here trains or computes on models itself."""
