"""What tests build with: a valid default for every noun, small working fakes, seeds, faults, and a database.

Nothing here asserts anything, and nothing here is imported by the product. Start reading at the file named for the
thing a test needs.
"""
