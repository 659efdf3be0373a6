//! The exit codes of the commands that deal with a store, for the help of each.

/// As a literal, since it stands behind other text too.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
   0  done
   1  the file is damaged, is no store, or was written by a newer msgstream
  64  the command line cannot be understood
  69  a broker runs with the file
  74  the file cannot be read or written, or standard output cannot"
    };
}

/// Behind the options.
pub(super) const EXIT_CODES: &str = exit_codes!();
