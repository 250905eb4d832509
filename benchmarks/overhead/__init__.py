"""What is spent outside the model, in time and memory?"""
