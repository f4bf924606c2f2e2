"""Download of public datasets: from the Hugging Face hub, from Zenodo, and manual steps for restricted ones.

Files:

    archives     unpack selected members of a zip archive into the dataset's folder
    download     download one file over HTTP
    hub          download CT-RATE from the Hugging Face hub, completely or as a consistent subset
    hub_errors   convert the hub client's errors to one line with a remedy
    person       manual steps for INSPECT, which cannot be downloaded automatically, and a check of their result
    plan         plan of a fetch
    sources      public datasets and their download sources, read from `sources.yaml` and validated
    zenodo       download LUNA16 and RAD-ChestCT from Zenodo
"""
