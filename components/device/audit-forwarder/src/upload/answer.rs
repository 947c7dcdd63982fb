//! What the connector answers.

use std::time::Duration;

use holdfast_audit_log::Text;
use holdfast_connection::peer::Answer;
use http::StatusCode;
use serde::Deserialize;

use super::cursor::{Reply, Stored};

/// What the connector has of a log, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LogAnswer {
    /// The log's id.
    pub log: String,
    /// Records.
    pub size: u64,
    /// Hash of the last, hexadecimal.
    pub head: String,
    /// The same, signed.
    pub receipt: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Why,
    size: Option<u64>,
    head: Option<String>,
}

#[derive(Deserialize)]
struct Why {
    code: String,
    #[serde(default)]
    request_id: String,
    detail: Option<String>,
}

/// An answer, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Understood {
    /// The request was done.
    Log(LogAnswer),
    /// It was refused for a reason that says how to go on.
    Reply(Reply, String),
    /// It was refused for a reason that has nothing to do with the log: try again later, as the
    /// connector wishes.
    Later(String, Option<Duration>),
}

/// Reads an answer.
pub fn understand(answer: &Answer) -> Understood {
    let later = |words| Understood::Later(words, answer.retry_after);
    if answer.status.is_success() {
        return match serde_json::from_slice(&answer.body) {
            Ok(log) => Understood::Log(log),
            Err(error) => later(format!("an answer that cannot be read: {error}")),
        };
    }
    let Ok(refused) = serde_json::from_slice::<Refused>(&answer.body) else {
        return later(format!("HTTP status {}", answer.status.as_u16()));
    };
    let Why { code, request_id, detail } = refused.error;
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    // A server's text must not forge lines of our log.
    let words = Text::<256>::lossy(&format!("{code} (request {request_id}){detail}"));
    let words = words.as_str().to_owned();
    let stored = refused.size.zip(refused.head).map(|(size, head)| Stored { size, head });
    let reply = match (answer.status, code.as_str(), stored) {
        (StatusCode::NOT_FOUND, "audit-log-unknown", _) => Reply::Unknown,
        (StatusCode::CONFLICT, "audit-gap", Some(stored)) => Reply::Gap(stored),
        (StatusCode::CONFLICT, "audit-fork", Some(stored)) => Reply::Fork(stored),
        (StatusCode::CONFLICT, "audit-log-closed", stored) => Reply::Closed(stored),
        (StatusCode::CONFLICT, "audit-log-taken" | "audit-key-changed", _) => Reply::Closed(None),
        (StatusCode::PAYLOAD_TOO_LARGE, ..) => Reply::TooLong,
        (
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY,
            "audit-frame-invalid" | "audit-checkpoint-invalid",
            _,
        ) => Reply::Refused(words.clone()),
        _ => return later(words),
    };
    Understood::Reply(reply, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            media_type: "application/json".to_owned(),
            retry_after: None,
            body: body.as_bytes().to_vec().into(),
        }
    }

    #[test]
    fn refusals_say_how_to_go_on() {
        let refusal = |code: &str| {
            format!(r#"{{"error":{{"code":"{code}","request_id":"r1"}},"size":7,"head":"ab"}}"#)
        };
        let stored = || Stored { size: 7, head: "ab".to_owned() };
        let table = [
            (404, "audit-log-unknown", Some(Reply::Unknown)),
            (409, "audit-gap", Some(Reply::Gap(stored()))),
            (409, "audit-fork", Some(Reply::Fork(stored()))),
            (409, "audit-log-closed", Some(Reply::Closed(Some(stored())))),
            (409, "audit-log-taken", Some(Reply::Closed(None))),
            (413, "audit-too-large", Some(Reply::TooLong)),
            (403, "suspended", None),
            (404, "not-found", None),
            (429, "rate-limited", None),
            (422, "audit-ak-unknown", None),
        ];
        for (status, code, expected) in table {
            match (understand(&answer(status, &refusal(code))), expected) {
                (Understood::Reply(reply, words), Some(expected)) => {
                    assert_eq!(reply, expected, "{code}");
                    assert!(words.contains(code) && words.contains("r1"), "{words}");
                }
                (Understood::Later(words, None), None) => assert!(words.contains(code), "{words}"),
                (found, expected) => panic!("{code}: {found:?}, expected {expected:?}"),
            }
        }
        let Understood::Reply(Reply::Refused(words), _) =
            understand(&answer(400, &refusal("audit-frame-invalid")))
        else {
            panic!("not refused")
        };
        assert!(words.starts_with("audit-frame-invalid"), "{words}");
    }

    #[test]
    fn other_answers_are_tried_again() {
        for (status, body) in [(502, "<html>"), (200, "{}"), (200, ""), (409, "{}")] {
            let understood = understand(&answer(status, body));
            assert!(matches!(understood, Understood::Later(..)), "{status}: {understood:?}");
        }
        let good = r#"{"log":"aa","size":1,"head":"bb","root":"cc","receipt":"d.e.f"}"#;
        let Understood::Log(log) = understand(&answer(200, good)) else { panic!("not read") };
        assert_eq!((log.size, log.receipt.as_str()), (1, "d.e.f"));
    }

    #[test]
    fn a_servers_text_cannot_forge_lines() {
        let body = r#"{"error":{"code":"x","request_id":"a\nb","detail":"c\u001b[2J"}}"#;
        let Understood::Later(words, _) = understand(&answer(403, body)) else {
            panic!("not later")
        };
        assert!(!words.contains(['\n', '\u{1b}']), "{words:?}");
    }
}
