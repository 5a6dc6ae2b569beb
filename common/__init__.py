"""What origin and edge share: protocol core, media, cluster, network and supervision."""
