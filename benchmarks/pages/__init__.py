"""Can every page be read?"""
