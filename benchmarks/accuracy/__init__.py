"""Are explanations right?"""
