//! The exit codes of the commands that deal with tokens, for the help of each.

/// As a literal, since it stands behind other text too.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
   0  done
  64  the command line cannot be understood
  74  the file or standard output cannot be written
  78  what stands in the file cannot be used, or does not fit what is asked"
    };
}

/// Behind the options.
pub(super) const EXIT_CODES: &str = exit_codes!();
