//! The clock is not before the image was built.

use serde::Deserialize;

use super::{Context, Finding, context::unreadable};
use crate::text::moment;

const PATH: &str = "usr/lib/holdfast/release.toml";

#[derive(Deserialize)]
struct Release {
    /// Unix seconds.
    build_time: u64,
}

pub(super) fn run(context: &Context) -> Finding {
    const INCOMPLETE: &str = "The image is not complete: install a release.";
    let text = match context.read(PATH) {
        Ok(text) => text,
        Err(error) => return unreadable(PATH, &error, INCOMPLETE),
    };
    let release: Release = match toml::from_str(&text) {
        Ok(release) => release,
        Err(error) => {
            return Finding::failed(format!("/{PATH}: {}", error.message()), INCOMPLETE);
        }
    };
    let now = u64::try_from(context.now).unwrap_or(0);
    if now < release.build_time {
        return Finding::failed(
            format!("the clock says {}, before this image was built", moment(now, context.now)),
            "Set the hardware clock or let the device reach a time server; an empty battery of \
             the clock does this.",
        );
    }
    Finding::ok("The clock is past the time at which this image was built.")
}

#[cfg(test)]
mod tests {
    use super::super::{
        Outcome::*,
        fixture::{Fixture, NOW},
    };
    use super::*;

    #[test]
    fn table() {
        let release = |time: i64| format!("version = \"0.1.0\"\nbuild_time = {time}\n");
        let table = [
            (release(NOW - 1), Ok, "past"),
            (release(NOW), Ok, "past"),
            (release(NOW + 1), Failed, "before this image"),
            ("version = \"0.1.0\"".into(), Failed, "build_time"),
            (release(-1), Failed, "install a release"),
        ];
        for (text, outcome, part) in table {
            Fixture::new().file(PATH, text).expect(run, outcome, part);
        }
        Fixture::new().expect(run, Failed, "release.toml");
    }

    #[test]
    fn a_clock_before_1970_is_no_panic() {
        let mut fixture = Fixture::new().file(PATH, "build_time = 1");
        fixture.context.now = -5;
        fixture.expect(run, Failed, "before this image");
    }
}
