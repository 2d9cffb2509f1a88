"""What is computed, and on what engine? Definitions, bundles, input forms, and the engines behind one port."""
