"""The command line: parse, call one function, print.

Files:

    check           `uniferum data check`
    checkpoints     `uniferum import-checkpoint`
    data            `uniferum data`
    examples        examples below the help of a command
    fetch           `uniferum data fetch`
    flags           print quality flags
    grid            `uniferum grid`: plan, run, evaluate, show
    grid_output     what the commands of `uniferum grid` print
    infra           `uniferum infra`
    label_reports   `uniferum data label-reports`
    live            show a running grid on the terminal
    main            the `uniferum` command
    output          results on standard output, messages and progress on standard error
    phantom         `uniferum data phantom` and `uniferum data demo`
    predict         `uniferum predict`
    prepare         `uniferum data prepare` and `uniferum data verify`
    report          `uniferum report` and `uniferum why`
    report_checks   check the options of `uniferum report`
    report_output   what `uniferum report` prints and writes
    reports         `uniferum data reports`
    run             `uniferum run`
    search_output   what `uniferum report --search` prints and draws
    segment         `uniferum data segment`
    steer           `uniferum grid`: commands for another shell
    tables          tables for a terminal, a pipe or a script
    tune            `uniferum tune`
    volumes         images of patients for the page of a report
    whole_folder    write the files of a folder all together or not at all
    weights         `--weights-dir`, and `uniferum weights check`
"""
