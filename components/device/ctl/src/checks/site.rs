//! The device knows where it belongs.

use std::io;

use super::{Context, Finding, context::unreadable};

const SITE: &str = "run/holdfast/site/site.toml";
const ERROR: &str = "run/holdfast/site/error";

pub(super) fn run(context: &Context) -> Finding {
    if let Ok(reason) = context.read(ERROR) {
        return Finding::failed(
            format!("the site configuration was refused: {}", reason.trim()),
            "Make it anew with `holdfast-cloud site new` and the key that this image trusts.",
        );
    }
    match context.read(SITE) {
        Ok(text) => match toml::from_str::<toml::Table>(&text) {
            Ok(site) => {
                let tenant = site.get("tenant").and_then(toml::Value::as_str).unwrap_or("?");
                Finding::ok(format!("The site configuration is in force; tenant {tenant}."))
            }
            Err(error) => Finding::failed(
                format!("/{SITE} is no TOML: {}", error.message()),
                "Restart the device; the boot puts a verified copy there.",
            ),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::failed(
            "there is no site configuration",
            "Give the device site.toml and site.toml.sig (made by `holdfast-cloud site new`) \
             and restart it.",
        ),
        Err(error) => unreadable(SITE, &error, "Restart the device."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome::*, fixture::Fixture};
    use super::*;

    #[test]
    fn table() {
        let site = "format = 1\ntenant = \"demo\"\n";
        Fixture::new().file(SITE, site).expect(run, Ok, "tenant demo");
        Fixture::new().file(SITE, "format = ").expect(run, Failed, "no TOML");
        Fixture::new().expect(run, Failed, "no site configuration");
        Fixture::new().file(SITE, site).file(ERROR, "the signature is by another key\n").expect(
            run,
            Failed,
            "refused: the signature is by another key",
        );
    }
}
