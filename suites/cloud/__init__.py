"""Suite: is the element's key the one that the cloud knows?"""
