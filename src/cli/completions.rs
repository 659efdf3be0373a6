//! `msgstream completions`: what a shell needs to complete this program's command line.

use super::exit::{Exit, Outcome};
use super::standard::print;

/// Print shell completions
///
/// For bash: msgstream completions bash > ~/.local/share/bash-completion/completions/msgstream
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Behind `run STREAM --` comes the command line of another program, which has its own completions.
const BASH: &str = r#"
_msgstream_or_command() {
    local at
    if [[ ${COMP_WORDS[1]} == run ]]; then
        for ((at = 2; at < COMP_CWORD; at++)); do
            if [[ ${COMP_WORDS[at]} == -- ]]; then
                if declare -F _comp_command_offset >/dev/null; then
                    _comp_command_offset $((at + 1))
                elif declare -F _command_offset >/dev/null; then
                    _command_offset $((at + 1))
                elif ((at + 1 == COMP_CWORD)); then
                    COMPREPLY=($(compgen -c -- "${COMP_WORDS[COMP_CWORD]}"))
                else
                    COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
                fi
                return
            fi
        done
    fi
    _msgstream "$@"
}
complete -F _msgstream_or_command -o bashdefault -o default msgstream
"#;

pub(crate) fn run(args: &Args, mut program: clap::Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "msgstream", &mut script);
    if args.shell == clap_complete::Shell::Bash {
        script.extend_from_slice(BASH.as_bytes());
    }
    print(&script)?;
    Ok(Exit::Fine)
}
