//! `GET /api/streams`: the directory as it is now, as one JSON array. It is sent as fast as it is read, and takes no more memory than a
//! listener does.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::answer::{Refused, json_response};
use super::asked::Question;
use super::call::Call;
use super::caller::Caller;
use super::lines::{DIRECTORY, json};
use super::pieces;

/// About how much is sent at once, in bytes.
const PIECE: usize = 16 << 10;

#[derive(Deserialize)]
pub(super) struct Asked {
    /// How the names begin.
    #[serde(default)]
    prefix: String,
}

pub(super) async fn list(caller: Caller, Question(Asked { prefix }): Question<Asked>) -> Result<Response, Refused> {
    let call = caller.admitted().await?;
    let prefix = format!("{DIRECTORY}{prefix}");
    call.say(&format!("{{\"action\":\"listen\",\"prefix\":{},\"receipt\":1}}", json(&prefix))).await;
    let mut entries = Entries { call, text: "[".to_owned(), has_some: false, header: None };
    // The first piece tells whether it is allowed.
    let goes_on = caller.in_time(entries.fill()).await?;
    let body = pieces::body(|to| async move {
        let mut goes_on = goes_on;
        loop {
            to.send(std::mem::take(&mut entries.text)).await?;
            if !goes_on {
                return Ok(());
            }
            goes_on = entries.fill().await?;
        }
    });
    Ok(json_response(StatusCode::OK, body))
}

/// The entries that come.
struct Entries {
    call: Call,
    text: String,
    has_some: bool,
    /// The last header that came, and of which stream.
    header: Option<(String, String)>,
}

impl Entries {
    /// Adds entries until there is a piece of them. False once they are all there.
    async fn fill(&mut self) -> Result<bool, Refused> {
        while self.text.len() < PIECE {
            let said = self.call.hear().await?;
            let stream = || said.stream.and_then(|stream| serde_json::from_str::<String>(stream.get()).ok()).unwrap_or_default();
            match said.action {
                "put" => self.header = said.message.map(|message| (stream(), message.get().to_owned())),
                "joined" => {
                    // A change that came between is of one that is there already, or of none.
                    let Some((of, header)) = self.header.take().filter(|(of, _)| *of == stream()) else { continue };
                    let name = of.strip_prefix(DIRECTORY).unwrap_or(&of);
                    self.text.push_str(if self.has_some { ",\n" } else { "\n" });
                    self.has_some = true;
                    self.text.push_str(&format!("{{\"stream\":{}", json(name)));
                    let members = header.strip_prefix('{').unwrap_or("}");
                    self.text.push_str(if members == "}" { "" } else { "," });
                    self.text.push_str(members);
                }
                "receipt" => {
                    self.text.push_str("\n]\n");
                    return Ok(false);
                }
                _ => {}
            }
        }
        Ok(true)
    }
}
