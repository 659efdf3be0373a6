//! The handshake of a WebSocket: what a request for one has to say, and what it is answered.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What a server adds to the key of a client to answer it, by RFC 6455.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The answer to a request for a WebSocket, or why it is none.
pub(in crate::broker::http) fn accept(headers: &HeaderMap) -> Result<String, &'static str> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err("this is the address of a WebSocket: connect to it with ws:// or wss:// before the host");
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err("only version 13 of WebSocket is spoken here");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let key =
        key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16)).ok_or("Sec-WebSocket-Key has to be 16 bytes in base64")?;
    Ok(STANDARD.encode(Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_rfc_6455_says() {
        let asked = |key: &'static str| {
            let mut headers = HeaderMap::new();
            // Several words in one header, or several headers.
            headers.insert(header::CONNECTION, "keep-alive, Upgrade".parse().unwrap());
            headers.append(header::UPGRADE, "h2c".parse().unwrap());
            headers.append(header::UPGRADE, "WebSocket".parse().unwrap());
            headers.insert(header::SEC_WEBSOCKET_VERSION, "13".parse().unwrap());
            headers.insert(header::SEC_WEBSOCKET_KEY, key.parse().unwrap());
            headers
        };
        let example = "dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(accept(&asked(example)).as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for missing in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY] {
            let mut headers = asked(example);
            headers.remove(&missing);
            assert!(accept(&headers).is_err(), "without {missing}");
        }
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhl", "no base64"] {
            assert!(accept(&asked(key)).is_err(), "{key:?}");
        }
    }
}
