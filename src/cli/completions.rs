//! `msgstream completions`: what a shell needs to complete this program's command line.

use super::exit::{Exit, OrExit, Outcome};
use super::standard::print;

/// Print shell completions
///
/// In bash, zsh and fish they offer the names of streams as well, if the broker answers within 0.3 s: the first 200 that begin so. The
/// broker is the one that is configured; bash also takes it from --server, with --ca, --certificate, --key and --token-file.
///
/// For bash: msgstream completions bash > ~/.local/share/bash-completion/completions/msgstream
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Behind `run STREAM --` comes the command line of another program, which has its own completions. Where a stream is to be named, the
/// broker is asked for the names that there are.
const BASH: &str = r#"
_msgstream_streams() {
    local line=${COMP_LINE:0:COMP_POINT} pattern='(\\.|[^\\[:space:]])*$' typed cur known name at words=() names=() server=()
    # Not the words of bash, which ends one at a colon, too. A blank behind a backslash ends none.
    [[ $line =~ $pattern ]]
    typed=${BASH_REMATCH[0]}
    IFS= read cur <<<"$typed"
    read -a words <<<"${line%"$typed"}"
    [[ $cur == -* || ( $2 == one && ${#words[@]} != 2 ) ]] && return
    case ${words[${#words[@]}-1]} in
        --server | --token-file | --ca | --certificate | --key | --format | --last | --count | --timeout | --header) return ;;
    esac
    for ((at = 2; at < ${#words[@]}; at++)); do
        case ${words[at]} in
            --server | --token-file | --ca | --certificate | --key) server+=("${words[at]}" "${words[at+1]}") ;;
        esac
    done
    # What bash leaves as it is, before the part that it replaces.
    [[ $typed == *"$3" ]] && known=${typed%"$3"}
    while IFS= read -r name; do
        printf -v name %q "$name"
        [[ $name == "$known"* ]] && names+=("${name#"$known"}")
    done < <("$1" stream-names "${server[@]}" -- "$cur" 2>/dev/null)
    ((${#names[@]})) && COMPREPLY=("${names[@]}")
}
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
    case ${COMP_WORDS[1]} in
        listen | wait) _msgstream_streams "$1" many "$2" ;;
        get | put | close | delete | header | streams | top) _msgstream_streams "$1" one "$2" ;;
    esac
}
complete -F _msgstream_or_command -o bashdefault -o default msgstream
"#;

/// The arguments of zsh's script that are streams, and what completes them there.
const ZSH_STREAMS: [(&str, &str); 4] = [
    (":stream -- The stream:_default", ":stream -- The stream:_msgstream_streams"),
    ("*::streams -- The streams:_default", "*::streams -- The streams:_msgstream_streams"),
    (":PREFIX:_default", ":PREFIX:_msgstream_streams"),
    (r"\[default\: all\]:_default", r"\[default\: all\]:_msgstream_streams"),
];

const ZSH: &str = r#"
_msgstream_streams() {
    local -a names
    names=(${(f)"$(_call_program streams msgstream stream-names -- ${(q)${(Q)PREFIX}} 2>/dev/null)"})
    compadd -a names
}
"#;

/// The commands of fish's script that name streams.
const FISH_STREAMS: [&str; 9] = ["listen", "wait", "get", "put", "close", "delete", "header", "streams", "top"];

pub(crate) fn run(args: &Args, mut program: clap::Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "msgstream", &mut script);
    let mut script = String::from_utf8(script).or_exit(Exit::Internal)?;
    match args.shell {
        clap_complete::Shell::Bash => script.push_str(BASH),
        clap_complete::Shell::Zsh => {
            for (before, after) in ZSH_STREAMS {
                script = script.replace(before, after);
            }
            // Behind the line that tells zsh what the file is for.
            let first = script.find('\n').map_or(0, |end| end + 1);
            script.insert_str(first, ZSH);
        }
        clap_complete::Shell::Fish => {
            for command in FISH_STREAMS {
                let names = "(msgstream stream-names -- (commandline -ct) 2>/dev/null)";
                let line = format!("complete -c msgstream -n \"__fish_msgstream_using_subcommand {command}\" -f -a \"{names}\"\n");
                script.push_str(&line);
            }
        }
        _ => {}
    }
    print(script.as_bytes())?;
    Ok(Exit::Fine)
}
