"""Where do the bytes live? Objects, read sets and references, behind ports that a folder and AWS both fill."""
