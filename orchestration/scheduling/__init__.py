"""Which cell runs next and what follows a failure; knows no Ray."""
