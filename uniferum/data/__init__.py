"""Prepared volumes to tasks to batches (paper 3.3).

Files:

    card              data card: the content of a cohort, compared with the paper's Table 1
    checks/           checks of a dataset's folder before preparation
    cohorts/          source datasets, each read from its files as downloaded
    commands          commands that an error or a plan suggests, with quoted paths of a store
    content           content of a prepared store for a run's identity
    fetch/            download of public datasets, and manual steps for restricted ones
    folds             divide a cohort's scans into folds by patient, stratified by the labels
    further_labels    labels of a dataset beyond the paper's
    flag_counts       count the scans with each quality flag
    label_sets        other labels of a cohort's test scans, from a file beside the store
    loading/          stored volumes to batches: order, reading, augmentation, targets
    needs             estimate disk space of the store at each level
    organ_counts      number of organ tasks of a cohort
    organ_rows        mask rows that a training with SEG requests and gets
    phantom/          synthetic thoraces with visible findings, in the file layouts of the real datasets
    prepare_cohort    prepare a cohort's scans into its store
    prepared_cohort   a prepared cohort for the later stages
    provenance        a cohort's statement about a split
    report_labels/    labels from report text: keywords select candidates, a labeller judges them
    reports           radiology reports of a prepared cohort, for pretraining
    row_counts        number of training rows of each kind, by cohort and label
    sampling          build the training table: negatives, organ tasks, nodules
    segmentation      make organ masks with TotalSegmentator
    settings          settings of batches, sampling and augmentation
    splits            refuse a store with invalid splits
    store_card        summary of a prepared store beyond its dataset's files
    tasks             task tables: each row is a task with volume, prompt, kind and target
    vocabulary        labels with prompts, structures to segment, groups of labels
"""
