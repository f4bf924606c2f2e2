"""Download of public datasets: from the Hugging Face hub, from Zenodo, and manual steps for restricted ones."""
