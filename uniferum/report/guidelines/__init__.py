"""Tables that reporting guidelines ask for (CLAIM 2024, TRIPOD+AI, STARD-AI).

Files:

    catalogue         these tables by name, and their options
    calibration       calibration intercept and slope by label
    decision          net benefit by label and threshold probability
    facts             facts of scans by which test cases are divided: sex, age, scanner, kernel, contrast
    flow              counts from the scans found to those scored
    operating_points  scores at thresholds that were chosen on validation
    printing          numbers with intervals as cells of a table
    subgroups         AUROC by sex, age, scanner, kernel, contrast
"""
