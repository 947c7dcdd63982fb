//! The state volume is sealed to the registers that it should be sealed to.

use serde::Deserialize;

use super::{Context, Finding, context::unreadable};

const PATH: &str = "run/holdfast/var/verdict.json";
const SEALED: &str = "as-expected";

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    seal: String,
}

pub(super) fn run(context: &Context) -> Finding {
    let text = match context.read(PATH) {
        Ok(text) => text,
        Err(error) => {
            return unreadable(PATH, &error, "See journalctl -b for the state volume's unit.");
        }
    };
    match serde_json::from_str::<Record>(&text) {
        Ok(record) if record.seal == SEALED => Finding::ok(
            "The state volume opens on this TPM, under this image's signed boots alone.",
        ),
        Ok(record) if record.seal.is_empty() => Finding::failed(
            "the state volume is not in use, so its seal was not looked at",
            "`holdfast check var-verdict` says why.",
        ),
        Ok(record) => Finding::failed(
            format!("the state volume is sealed to something else: {}", record.seal),
            "Somebody changed its key slots, or the firmware's keys changed. Seal it again: open it \
             with the recovery key (docs/image.md).",
        ),
        Err(error) => Finding::failed(
            format!("/{PATH} is not understood: {error}"),
            "Use the holdfast program of the same release.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    #[test]
    fn table() {
        let table = [
            (r#"{"verdict":"opened","seal":"as-expected"}"#, Ok, "this TPM"),
            (r#"{"verdict":"opened","seal":"token 1 is sealed to policy 00"}"#, Failed, "token 1"),
            (r#"{"verdict":"refused"}"#, Failed, "not in use"),
            ("", Failed, "not understood"),
        ];
        for (json, outcome, part) in table {
            Fixture::new().file(PATH, json).expect(run, outcome, part);
        }
        Fixture::new().expect(run, Failed, "verdict.json");
    }
}
