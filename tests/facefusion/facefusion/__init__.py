"""The parts of the program that plays FaceFusion."""
