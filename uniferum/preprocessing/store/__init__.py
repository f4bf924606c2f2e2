"""The prepared store: its files, their encoding and their location.

Files:

    codec            encode arrays to bytes
    filesystem       location of a store
    other_settings   the error for continuing a store with other settings
    scanfile         one prepared scan in one file
    signature        signature of the files from which a scan was prepared
    store            the store: a folder of scan files with a manifest, on a disk or behind a URL
"""
