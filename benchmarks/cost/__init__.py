"""What does a given accuracy cost in model passes?"""
