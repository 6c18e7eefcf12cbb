"""Farlane's generator: from the descriptions in protocol/api to C++ and documentation."""
