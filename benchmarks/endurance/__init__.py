"""Does the queue stay right, fast and small?"""
