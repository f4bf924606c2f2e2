"""Predictions, and metrics with confidence intervals.

Files:

    area_interval         intervals of AUROC by patient, also with few positives
    benchmark             roles of labels for a training mix: in-distribution, shared, zero-shot
    bootstrap             bootstrap intervals by patient
    calibration           Brier score, expected calibration error, reliability bins
    clustered             variance of AUROC where patients have several volumes
    comparison            compare cells on the same cases
    config                settings of the scoring of a trained run
    curves                ROC and precision-recall curves, average precision, operating points
    delong                DeLong's variance of the area under the ROC curve
    fast_scores           all labels of a prediction file at once: areas with their variances
    logistic_calibration  calibration intercept and slope by label
    mask_counts           compare predicted masks with the stored ones by counting voxels
    mask_scores           scores of predicted masks
    mask_words            names and meanings of the mask scores, and a note on a cell's masks
    masks                 predicted masks of single cases for display
    metrics               score predictions: one row per label and one row per group of labels
    multiple_testing      adjust p values for multiple tests
    net_benefit           decision curves: net benefit at threshold probabilities
    operating_points      thresholds chosen on validation, and what they give on test
    precision_interval    intervals of average precision, corrected for few positives
    predict               predict tasks: encode every volume once, then read all its prompts from that encoding
    prediction_file       write and read `predictions.parquet`
    spread                measure how much the answers about one volume differ between prompts
    units                 volumes, scans or patients as cases
    wordings              AUROC of each label under other wordings of its prompt
"""
