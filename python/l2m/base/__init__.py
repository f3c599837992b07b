"""What every part stands on: files, records, checks, progress, figures, the hub, a cluster. Knows no subject."""
