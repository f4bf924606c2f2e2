"""The paper's figures and those that it lacks, drawn from recorded cells."""
