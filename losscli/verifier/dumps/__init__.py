"""Claims that another program made: numbers in files beside exact ones."""
