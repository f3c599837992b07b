"""What is known exactly: sources whose information has a closed form."""
