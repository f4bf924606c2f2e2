"""Getting the public datasets: from the Hugging Face hub, from Zenodo, and the steps for what only a person may get."""
