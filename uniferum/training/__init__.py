"""One training run (paper 3.6).

Files:

    batchnorm    update batch-norm running statistics from all micro-batches of a step
    checkpoint   write and read checkpoints
    codebooks    update the codes of vector quantisers once a step
    config       config sections of training, and which keys are part of a run's fingerprint
    errors       exceptions that end a training run before its last step
    loop         the training loop: steps, validations and checkpoints
    loss         the loss of a row
    optim        AdamW with warm-up, then linear decay or a plateau schedule
    parallel     share the micro-batches of a step among workers
    precision    choose device and precision
    reporter     reporters: objects that receive what a training run reports
    state        the progress of a training
    step         one optimizer step: forward and backward of this worker's micro-batches
"""
