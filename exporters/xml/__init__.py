"""Collections of other programs in XML: read whole, edited by splicing, the rest byte for byte as it was."""
