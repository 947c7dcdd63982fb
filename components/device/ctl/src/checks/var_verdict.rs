//! What the boot decided about the state volume.

use serde::Deserialize;

use super::{Context, Finding, context::unreadable};

const PATH: &str = "run/holdfast/var/verdict.json";

#[derive(Deserialize)]
struct Record {
    verdict: Verdict,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Opened,
    Created,
    Refused,
}

pub(super) fn run(context: &Context) -> Finding {
    let text = match context.read(PATH) {
        Ok(text) => text,
        Err(error) => {
            return unreadable(PATH, &error, "See journalctl -b for the state volume's unit.");
        }
    };
    match serde_json::from_str(&text) {
        Ok(Record { verdict: Verdict::Opened, .. }) => {
            Finding::ok("The state volume is this device's own.")
        }
        Ok(Record { verdict: Verdict::Created, .. }) => {
            Finding::ok("The state volume was made at this boot.")
        }
        Ok(Record { verdict: Verdict::Refused, reason }) => Finding::failed(
            format!("the state volume was refused: {reason}"),
            "It is not this device's, or the boot is not one that may open it. Boot a signed \
             release, or recover the volume with the recovery key.",
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
            (r#"{"verdict":"opened","reason":""}"#, Ok, "own"),
            (r#"{"verdict":"created"}"#, Ok, "made at this boot"),
            (r#"{"verdict":"refused","reason":"no marker"}"#, Failed, "no marker"),
            (r#"{"verdict":"perhaps"}"#, Failed, "not understood"),
            ("", Failed, "not understood"),
        ];
        for (json, outcome, part) in table {
            Fixture::new().file(PATH, json).expect(run, outcome, part);
        }
        Fixture::new().expect(run, Failed, "verdict.json");
    }
}
