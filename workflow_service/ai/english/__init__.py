"""What the translator and the explanations know of English: word lists and the forms of words, no grammar."""
